// A table that a press on a heading sorts. Filters leave some rows, and of what rows link to only theirs.
const sorted = document.querySelector("table.sorts"), headings = [...sorted.tHead.rows[0].cells], lines = sorted.tBodies[0];
const choices = [...document.querySelectorAll("[data-filter]")];
const valueOf = (row, i) => row.cells[i].dataset.value ?? row.cells[i].textContent;

// Numbers by size, what is none last; words by the alphabet.
function compare(one, other) {
  if (one === other) return 0;
  return Number.isNaN(one - other) ? one.localeCompare(other) : one - other;
}
headings.forEach((heading, i) => heading.addEventListener("click", () => {
  const order = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
  for (const one of headings) one.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  lines.append(...[...lines.rows].sort((one, other) => sign * compare(valueOf(one, i), valueOf(other, i))));
}));
function choose() {
  const rows = [...lines.rows];
  for (const row of rows) {
    row.hidden = choices.some(({value, dataset}) => value && row.dataset[dataset.filter] !== value);
    document.querySelector(row.querySelector("a").getAttribute("href")).hidden = row.hidden;
  }
  document.getElementById("count").textContent = `${rows.filter(row => !row.hidden).length} of ${rows.length} features`;
}
for (const one of choices) one.addEventListener("change", choose);
choose();
