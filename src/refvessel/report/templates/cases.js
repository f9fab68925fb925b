const viewer = new Viewer();
const list = new CasesTable((place) => viewer.open(list.rows, place));
viewer.closed = (place) => {
  if (viewer.order === list.rows) list.goTo(place);
};

/** Open the case that the address names, among the listed ones where it is one of them. */
function followLink() {
  const name = new URLSearchParams(location.hash.slice(1)).get("case");
  if (name === null) return;
  const row = rowOf(name);
  const place = list.rows.indexOf(row);
  if (place >= 0) viewer.open(list.rows, place);
  else if (row >= 0) viewer.open([row], 0);
  else document.getElementById("count").textContent = worded("This report has no case %(name)s.", { name });
}

addEventListener("hashchange", followLink);
followLink();
