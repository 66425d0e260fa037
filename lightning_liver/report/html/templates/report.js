// Make the tables sortable by their heads.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => row.cells[column].dataset.key;
      const number = (row) => (key(row) === undefined || key(row).trim() === "" ? NaN : Number(key(row)));
      const order = (a, b) => {
        if (key(a) === undefined || key(b) === undefined) return (key(a) === undefined) - (key(b) === undefined);
        const difference = number(a) - number(b);
        const way = Number.isNaN(difference) ? key(a).localeCompare(key(b)) : difference;
        return up ? way : -way;
      };
      body.append(...[...body.rows].sort(order));
    });
  });
}
