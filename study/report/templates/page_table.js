// The table of variants or runs: filtered, sorted, a page of rows at a time, so that ten thousand
// cost no more than fifty.

const PAGE = 50
const views = {
  variants: { rows: variants, title: `Variants (${whole(variants.length)})` },
  runs: { rows: runs, title: `Single runs (${whole(runs.length)})` },
}
for (const row of [...variants, ...runs]) {
  row.searched = [`trial ${row.trial}`, row.name, row.letters, row.state, row.reason]
    .filter(Boolean).join(" ").toLowerCase()
}
const shown = { view: "variants", column: "", down: false, page: 0, rows: [], marked: null }
const naturally = new Intl.Collator("en", { numeric: true }).compare  // H32 before H128

function filtered() {
  const words = find("words").value.toLowerCase().split(/\s+/).filter(Boolean)
  const state = find("state").value
  const only = find("only").checked
  return views[shown.view].rows.filter((row) => (!state || row.state === state)
    && (!only || byTrial.get(row.trial)?.on_front)
    && words.every((word) => row.searched.includes(word)))
}

/** Rows without a value come last in both directions. */
function sorted(rows) {
  const { column, down } = shown
  if (!column) return rows
  const sign = down ? -1 : 1
  const compare = data.text.includes(column) ? naturally : (a, b) => a - b
  const there = rows.filter((row) => known(row[column]))
  const missing = rows.filter((row) => !known(row[column]))
  return [...there.sort((a, b) => sign * compare(a[column], b[column])), ...missing]
}

function search() {
  shown.rows = sorted(filtered())
  shown.page = 0
  fill()
}

function fill() {
  const { rows, page, view } = shown
  const part = rows.slice(page * PAGE, (page + 1) * PAGE)
  const body = make("tbody", {}, ...part.map(line))
  find("rows").replaceChildren(make("table", { "aria-label": views[view].title }, headings(), body))
  find("count").textContent = counted(page * PAGE + 1, page * PAGE + part.length)
  pager()
}

function counted(first, last) {
  const found = shown.rows.length
  const all = views[shown.view].rows.length
  const noun = `${whole(all)} ${shown.view === "runs" ? "run" : "variant"}${all === 1 ? "" : "s"}`
  if (!found) return `None of ${noun} matches; clear the filter to see them.`
  const part = found > PAGE ? `, rows ${whole(first)} to ${whole(last)}` : ""
  return (found === all ? noun : `${whole(found)} of ${noun}`) + part
}

/** The columns beyond the first are shown on demand. */
function classOf(column, i) {
  const text = data.text.includes(column) ? `text ${column}` : ""
  return i < data.first ? text : `${text} more`.trim()
}

function headings() {
  const heads = data.columns[shown.view].map((column, i) => {
    const [title, unit] = data.titles[column] ?? [column, ""]
    const order = shown.column === column && (shown.down ? "descending" : "ascending")
    const button = make("button",
      { type: "button", "data-column": column, onclick: () => sortBy(column) }, title,
      ...(unit ? [" ", make("small", {}, unit)] : []))
    return make("th", { scope: "col", class: classOf(column, i), "aria-sort": order }, button)
  })
  return make("thead", {}, make("tr", {}, ...heads))
}

function sortBy(column) {
  shown.down = shown.column === column && !shown.down
  shown.column = column
  search()
  const button = find("rows").querySelector(`[data-column="${column}"]`)
  button.focus({ preventScroll: true })  // it was made anew
}

function kindOf(row) {
  if (row.trial === 0) return "reference"
  return byTrial.get(row.trial)?.on_front ? "pareto" : ""
}

function line(row) {
  const cells = data.columns[shown.view].map((column, i) => {
    const small = interval(column, row)
    return make("td", { class: classOf(column, i) }, cell(column, row[column]),
      ...(small ? [" ", make("small", {}, small)] : []))
  })
  const marked = shown.marked === row.trial ? " marked" : ""
  const attributes = { class: kindOf(row) + marked, "data-trial": row.trial, tabindex: -1 }
  return make("tr", attributes, ...cells)
}

function pager() {
  const last = Math.max(0, Math.ceil(shown.rows.length / PAGE) - 1)
  const button = (id, text, to) => {
    const disabled = to < 0 || to > last || to === shown.page
    return make("button", { type: "button", id, disabled, onclick: () => turn(id, to) }, text)
  }
  find("pager").hidden = last === 0
  find("pager").replaceChildren(
    button("first", "First", 0), button("previous", "Previous", shown.page - 1),
    make("span", {}, `page ${whole(shown.page + 1)} of ${whole(last + 1)}`),
    button("next", "Next", shown.page + 1), button("last", "Last", last))
}

function turn(id, page) {
  shown.page = page
  fill()
  const opposite = { next: "previous", last: "previous", previous: "next", first: "next" }[id]
  find(find(id).disabled ? opposite : id).focus()  // a disabled button cannot have the focus
}

/** Bring a trial's row into view, whatever filter or page hides it, and mark it. */
function show(trial) {
  if (!byTrial.has(trial)) return
  shown.marked = trial
  if (shown.view !== "variants") choose("variants")
  const place = () => shown.rows.findIndex((row) => row.trial === trial)
  if (place() < 0) {
    find("search").reset()
    find("views").querySelector("[value=variants]").checked = true
    search()
  }
  shown.page = Math.floor(place() / PAGE)
  fill()
  const row = find("rows").querySelector(`tr[data-trial="${trial}"]`)
  row.focus({ preventScroll: true })
  row.scrollIntoView({ block: "center", inline: "nearest" })
}

/** Go to a trial's row. A browser that followed the link would take the focus from the row. */
function go(trial) {
  if (location.hash !== `#trial-${trial}`) history.pushState(null, "", `#trial-${trial}`)
  show(trial)
}

function choose(view) {
  Object.assign(shown, { view, column: "" })
  find("views").querySelector(`[value="${view}"]`).checked = true
  const count = data.columns[view].length
  find("every").parentElement.hidden = count <= data.first
  find("every").nextElementSibling.textContent = `All ${count} columns`
  const counts = new Map()
  const before = find("state").value
  for (const { state } of views[view].rows) counts.set(state, (counts.get(state) ?? 0) + 1)
  find("state").replaceChildren(make("option", { value: "" }, "any"))
  for (const [value, count] of counts) {
    const option = { value, selected: value === before }
    find("state").append(make("option", option, `${value} (${whole(count)})`))
  }
  search()
}

function tables() {
  choices(find("views"), "view", { variants: views.variants.title, runs: views.runs.title }, choose)
  find("search").addEventListener("submit", (event) => event.preventDefault())
  find("search").addEventListener("input", (event) => {
    if (event.target.type !== "radio") search()
  })
  for (const link of document.querySelectorAll("a[data-trial]")) {
    link.href = `#trial-${link.dataset.trial}`
  }
  const trialOf = (hash) => Number(/^#trial-(\d+)$/.exec(hash)?.[1] ?? -1)
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
  addEventListener("load", here)  // again: the browser itself scrolls to the static table's row
}
