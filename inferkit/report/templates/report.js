"use strict";
(() => {
  const body = document.querySelector("#table tbody");
  const rows = Array.from(body.rows);
  const sections = Array.from(document.querySelectorAll("details.case"));
  const holder = document.getElementById("sections");
  const search = document.getElementById("search");
  const verdict = document.getElementById("verdict");

  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    rows.forEach((row, index) => {
      const text = row.dataset.search.toLowerCase();
      const fits = words.every((word) => text.includes(word)) && (!verdict.value || row.dataset.verdict === verdict.value);
      row.hidden = sections[index].hidden = !fits;
      left += fits ? 1 : 0;
    });
    document.getElementById("count").textContent = `${left} of ${rows.length} cases`;
    document.getElementById("none").hidden = left > 0;
  };

  const sort = (button) => {
    const head = button.closest("th");
    const column = head.cellIndex;
    const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    document.querySelectorAll("#table th").forEach((th) => th.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
    const value = (index) => rows[index].cells[column].dataset.value;
    const compare = (a, b) => {
      const x = value(a), y = value(b);
      if (x === "" || y === "") return x === y ? a - b : x === "" ? 1 : -1; // what is not known comes last
      const order = button.dataset.kind === "number" ? Number(x) - Number(y) : x.localeCompare(y, "en", { numeric: true });
      return direction * order || a - b;
    };
    const order = rows.map((_, index) => index).sort(compare);
    order.forEach((index) => { body.append(rows[index]); holder.append(sections[index]); });
  };

  const open = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.matches("details.case")) {
      target.open = true;
      target.scrollIntoView();
    }
  };

  search.addEventListener("input", filter);
  verdict.addEventListener("change", filter);
  document.querySelectorAll("#table thead button").forEach((button) => button.addEventListener("click", () => sort(button)));
  document.querySelectorAll("#table a").forEach((link) => link.addEventListener("click", () => setTimeout(open)));
  document.getElementById("all").addEventListener("click", () => {
    const shown = sections.filter((section) => !section.hidden);
    const all = shown.every((section) => section.open);
    shown.forEach((section) => { section.open = !all; });
  });
  window.addEventListener("hashchange", open);
  window.addEventListener("beforeprint", () => sections.forEach((section) => { section.open = !section.hidden; }));
  filter();
  open();
})();
