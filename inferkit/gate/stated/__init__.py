"""What a project states: margins, what it is strict about, and waivers of what it knows to be worse."""
