"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const body = document.querySelector("#table tbody");
  const rows = Array.from(body.rows);
  const sections = rows.map((row) => byId(row.dataset.case));
  const groups = Array.from(document.querySelectorAll("details.group"));
  const buttons = Array.from(document.querySelectorAll("#table thead button"));
  const badges = Array.from(document.querySelectorAll(".counts button"));
  const filters = ["q", "verdict", "model", "precision", "backend"].filter(byId);
  const chosen = ["verdict", "model", "precision", "backend"].filter(byId);
  let sorted = ""; // a column's key, "-" before it for the other way round

  // What is shown is in the address, so that it can be linked to: #verdict=REGRESSED&sort=-change&case=case-…
  const write = (opened, entry) => {
    const state = new URLSearchParams();
    filters.forEach((name) => { if (byId(name).value) state.set(name, byId(name).value); });
    if (sorted) state.set("sort", sorted);
    if (opened) state.set("case", opened);
    const address = `#${state}`;
    if (entry) history.pushState(null, "", address);
    else history.replaceState(null, "", address);
  };

  const read = () => {
    const text = location.hash.slice(1);
    const state = new URLSearchParams(text.includes("=") ? text : "");
    if (text && !text.includes("=")) state.set("case", text);
    filters.forEach((name) => { byId(name).value = state.get(name) || ""; });
    chosen.forEach((name) => { if (byId(name).selectedIndex < 0) byId(name).value = ""; });
    filter();
    sort(state.get("sort") || "");
    open(state.get("case") || "");
  };

  const filter = () => {
    const words = byId("q").value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    rows.forEach((row, index) => {
      const text = row.dataset.search.toLowerCase();
      const fits = words.every((word) => text.includes(word))
        && chosen.every((name) => !byId(name).value || row.dataset[name] === byId(name).value);
      row.hidden = sections[index].hidden = !fits;
      left += fits ? 1 : 0;
    });
    const model = byId("model") ? byId("model").value : "";
    groups.forEach((group) => { group.hidden = Boolean(model) && group.dataset.model !== model; });
    badges.forEach((each) => each.setAttribute("aria-pressed", String(each.dataset.verdict === byId("verdict").value)));
    byId("count").textContent = left === rows.length ? `${left} cases` : `${left} of ${rows.length} cases`;
    byId("none").hidden = left > 0;
    byId("reset").hidden = filters.every((name) => !byId(name).value);
  };

  const sort = (key) => {
    sorted = buttons.some((each) => each.dataset.key === key.replace(/^-/, "")) ? key : "";
    const wanted = sorted.replace(/^-/, "") || "verdict";
    const direction = sorted.startsWith("-") ? -1 : 1;
    const button = buttons.find((each) => each.dataset.key === wanted);
    const column = button.closest("th").cellIndex;
    buttons.forEach((each) => each.closest("th").setAttribute("aria-sort", "none"));
    button.closest("th").setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
    const value = (index) => rows[index].cells[column].dataset.value;
    const compare = (a, b) => {
      const x = value(a), y = value(b);
      if (x === "" || y === "") return x === y ? a - b : x === "" ? 1 : -1; // what is not known comes last
      const order = button.dataset.kind === "number" ? Number(x) - Number(y) : x.localeCompare(y, "en", { numeric: true });
      return direction * order || a - b;
    };
    rows.map((_, index) => index).sort(compare).forEach((index) => {
      body.append(rows[index]);
      byId("sections").append(sections[index]);
    });
  };

  const open = (id) => {
    const index = sections.findIndex((section) => section.id === id);
    if (index < 0) return;
    sections[index].hidden = false; // also where the filter leaves it out: it was asked for
    sections[index].open = true;
    sections[index].scrollIntoView();
  };

  const changed = () => { filter(); write("", false); };
  filters.forEach((name) => byId(name).addEventListener(name === "q" ? "input" : "change", changed));
  badges.forEach((each) => each.addEventListener("click", () => {
    byId("verdict").value = byId("verdict").value === each.dataset.verdict ? "" : each.dataset.verdict;
    changed();
  }));
  byId("reset").addEventListener("click", () => {
    filters.forEach((name) => { byId(name).value = ""; });
    changed();
  });
  buttons.forEach((each) => each.addEventListener("click", () => {
    const up = each.closest("th").getAttribute("aria-sort") === "ascending";
    sort((up ? "-" : "") + each.dataset.key);
    write("", false);
  }));
  document.querySelectorAll("#table a, a.anchor").forEach((link) => link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const id = link.getAttribute("href").slice(1);
    write(id, true);
    open(id);
  }));
  byId("all").addEventListener("click", () => {
    const shown = sections.filter((section) => !section.hidden);
    const all = shown.every((section) => section.open);
    shown.forEach((section) => { section.open = !all; });
    byId("all").textContent = all ? "Open all shown" : "Close all shown";
  });
  let before = [];
  window.addEventListener("beforeprint", () => {
    before = [...sections, ...groups].map((each) => [each, each.open]);
    before.forEach(([each]) => { each.open = !each.hidden; });
  });
  window.addEventListener("afterprint", () => before.forEach(([each, was]) => { each.open = was; }));
  window.addEventListener("popstate", read);
  window.addEventListener("hashchange", read);
  read();
})();
