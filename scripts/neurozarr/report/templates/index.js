"use strict";
const body = document.querySelector("tbody");
const rows = Array.from(body.rows);
const search = document.getElementById("search");
const onlyFailed = document.getElementById("failed");
const count = document.getElementById("count");
const texts = rows.map((row) => row.textContent.toLowerCase());

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  rows.forEach((row, number) => {
    const wanted = !(onlyFailed && onlyFailed.checked) || "failed" in row.dataset;
    const found = wanted && words.every((word) => texts[number].includes(word));
    row.hidden = !found;
    shown += found;
  });
  count.textContent = shown === rows.length ? `${shown} samples` : `${shown} of ${rows.length} samples`;
}

function sort(header) {
  const down = header.getAttribute("aria-sort") === "ascending";
  const column = header.cellIndex;
  const names = new Intl.Collator(undefined, { numeric: true });
  // In the row of a sample without a page, the name has the place of all.
  const keyed = Array.from(body.rows, (row) => [row.cells[column]?.dataset.key ?? "", row]);
  const isNumber = header.classList.contains("number");
  // Cells without a value come last in either order.
  keyed.sort(([a], [b]) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    return (isNumber ? a - b : names.compare(a, b)) * (down ? -1 : 1);
  });
  for (const other of header.parentNode.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  body.append(...keyed.map(([, row]) => row));
}

search.addEventListener("input", filter);
if (onlyFailed) onlyFailed.addEventListener("change", filter);
for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => sort(button.closest("th")));
}
filter();
