// The table of variants or runs: filtered, sorted, a page of rows at a time, so that ten thousand cost no more than fifty.

const PAGE = 50
const views = {
  variants: { rows: variants, title: `Variants (${whole(variants.length)})` },
  runs: { rows: runs, title: `Single runs (${whole(runs.length)})` },
}
for (const [name, view] of Object.entries(views)) {
  view.columns = data.columns[name].filter((column) => view.rows.some((row) => known(row[column])))
  for (const row of view.rows) {
    row.hay = [`trial ${row.trial}`, row.name, row.letters, row.state, row.reason].filter(Boolean).join(" ").toLowerCase()
  }
}
const shown = { view: "variants", column: "", down: false, page: 0, rows: [], marked: null }
const inWords = new Intl.Collator("en", { numeric: true }).compare  // H32 before H128

function filtered() {
  const words = find("words").value.toLowerCase().split(/\s+/).filter(Boolean)
  const state = find("state").value, only = find("only").checked
  return views[shown.view].rows.filter((row) => (!state || row.state === state)
    && (!only || byTrial.get(row.trial)?.on_front) && words.every((word) => row.hay.includes(word)))
}

/** Rows without a value come last in both directions. */
function sorted(rows) {
  const { column, down } = shown
  if (!column) return rows
  const sign = down ? -1 : 1
  const compare = data.text.includes(column) ? inWords : (a, b) => a - b
  const there = rows.filter((row) => known(row[column])).sort((a, b) => sign * compare(a[column], b[column]))
  return [...there, ...rows.filter((row) => !known(row[column]))]
}

function search() {
  shown.rows = sorted(filtered())
  shown.page = 0
  fill()
}

function fill() {
  const { rows, page, view } = shown, part = rows.slice(page * PAGE, (page + 1) * PAGE)
  const body = make("tbody", {}, ...part.map(line))
  find("rows").replaceChildren(make("table", { "aria-label": views[view].title }, headings(), body))
  find("count").textContent = counted(rows.length, views[view].rows.length, page * PAGE + 1, page * PAGE + part.length)
  pages()
}

function counted(found, all, first, last) {
  const noun = (count) => `${whole(count)} ${shown.view === "runs" ? "run" : "variant"}${count === 1 ? "" : "s"}`
  if (!found) return `None of ${noun(all)} matches; clear the filter to see them.`
  const part = found > PAGE ? `, rows ${whole(first)} to ${whole(last)}` : ""
  return (found === all ? noun(all) : `${whole(found)} of ${noun(all)}`) + part
}

function headings() {
  return make("thead", {}, make("tr", {}, ...views[shown.view].columns.map((column) => {
    const [title, unit] = data.titles[column] ?? [column, ""]
    const order = shown.column === column ? (shown.down ? "descending" : "ascending") : null
    const button = make("button", { type: "button", "data-column": column, onclick: () => sortBy(column) }, title,
      ...(unit ? [" ", make("small", {}, unit)] : []))
    return make("th", { scope: "col", class: data.text.includes(column) && "text", "aria-sort": order }, button)
  })))
}

function sortBy(column) {
  shown.down = shown.column === column && !shown.down
  shown.column = column
  search()
  find("rows").querySelector(`[data-column="${column}"]`).focus({ preventScroll: true })  // the button was made anew
}

function line(row) {
  const kind = row.trial === 0 ? "reference" : byTrial.get(row.trial)?.on_front ? "kept" : ""
  const marked = shown.marked === row.trial ? " marked" : ""
  const cells = views[shown.view].columns.map((column) => {
    const small = interval(column, row)
    return make("td", { class: data.text.includes(column) && `text ${column}` }, said(column, row[column]),
      ...(small ? [" ", make("small", {}, small)] : []))
  })
  return make("tr", { class: kind + marked, "data-trial": row.trial, tabindex: -1 }, ...cells)
}

function pages() {
  const last = Math.max(0, Math.ceil(shown.rows.length / PAGE) - 1)
  const button = (id, text, to) => make("button", {
    type: "button", id, disabled: to < 0 || to > last || to === shown.page, onclick: () => turn(id, to) }, text)
  find("pager").hidden = last === 0
  find("pager").replaceChildren(
    button("first", "First", 0), button("previous", "Previous", shown.page - 1),
    make("span", {}, `page ${whole(shown.page + 1)} of ${whole(last + 1)}`),
    button("next", "Next", shown.page + 1), button("last", "Last", last))
}

function turn(id, page) {
  shown.page = page
  fill()
  const same = find(id)  // at an end it cannot take the focus: its opposite can
  if (same.disabled) find({ next: "previous", last: "previous", previous: "next", first: "next" }[id]).focus()
  else same.focus()
}

/** Bring a trial's row into view, whatever filter or page hides it, and mark it. */
function show(trial) {
  if (!byTrial.has(trial)) return
  shown.marked = trial
  if (shown.view !== "variants") choose("variants")
  let place = shown.rows.findIndex((row) => row.trial === trial)
  if (place < 0) {
    find("search").reset()
    find("views").querySelector("[value=variants]").checked = true
    search()
    place = shown.rows.findIndex((row) => row.trial === trial)
  }
  shown.page = Math.floor(place / PAGE)
  fill()
  const row = find("rows").querySelector(`tr[data-trial="${trial}"]`)
  row.focus({ preventScroll: true })
  row.scrollIntoView({ block: "center", inline: "nearest" })
}

/** Go to a trial's row, as a link does. A browser that followed the link itself would take the focus from the row again. */
function go(trial) {
  if (location.hash !== `#trial-${trial}`) history.pushState(null, "", `#trial-${trial}`)
  show(trial)
}

function choose(view) {
  Object.assign(shown, { view, column: "" })
  find("views").querySelector(`[value="${view}"]`).checked = true
  const counts = new Map(), before = find("state").value
  for (const { state } of views[view].rows) counts.set(state, (counts.get(state) ?? 0) + 1)
  find("state").replaceChildren(make("option", { value: "" }, "any"), ...[...counts].map(([state, count]) =>
    make("option", { value: state, selected: state === before }, `${state} (${whole(count)})`)))
  search()
}

function tables() {
  choices(find("views"), "view", Object.fromEntries(Object.entries(views).map(([name, view]) => [name, view.title])), choose)
  find("search").addEventListener("submit", (event) => event.preventDefault())
  find("search").addEventListener("input", (event) => { if (event.target.type !== "radio") search() })
  for (const link of document.querySelectorAll("a[data-trial]")) link.href = `#trial-${link.dataset.trial}`
  const trialOf = (hash) => { const found = /^#trial-(\d+)$/.exec(hash); return found ? Number(found[1]) : -1 }
  const here = () => show(trialOf(location.hash))
  addEventListener("hashchange", here)
  document.addEventListener("click", (event) => {
    const trial = trialOf(event.target.closest("a")?.getAttribute("href"))
    if (!byTrial.has(trial) || event.ctrlKey || event.metaKey || event.shiftKey) return
    event.preventDefault()
    go(trial)
  })
  choose("variants")
  here()
  addEventListener("load", here)  // again, since while it loads the browser itself scrolls to the row of the static table
}
