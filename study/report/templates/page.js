// What the page does beside its text: the data, how values are said, colours, sounds, printing.
// Text from the study enters the page as text nodes only, never as markup.

const find = (id) => document.getElementById(id)

/** An element with attributes and children; `on…` attributes are listeners, children are elements or text. */
function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "path", "line", "circle", "rect", "text"].includes(tag)
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value)
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value)
  }
  element.append(...children)
  return element
}

// ---- data: columns become rows, and a run gets what only its variant says

const data = JSON.parse(find("data").textContent)

function unpacked(columns) {
  const plain = Object.entries(columns).map(([name, column]) =>
    [name, column.words ? column.at.map((i) => column.words[i]) : column])
  return (plain[0]?.[1] ?? []).map((_, i) => Object.fromEntries(plain.map(([name, column]) => [name, column[i]])))
}

const variants = unpacked(data.variants)
const byTrial = new Map(variants.map((row) => [row.trial, row]))
const runs = unpacked(data.runs).map((run) => {
  const { name, letters, parameters, macs_per_s } = byTrial.get(run.trial) ?? {}
  return { name, letters, parameters, macs_per_s, ...run }
})
const known = (value) => value !== null && value !== undefined && value !== ""
const scored = variants.filter((row) => row.state === "complete" && known(row.si_snri_db))

// ---- values as people read them, as study/tables.py says them

const minus = (text) => (Number(text) === 0 ? text.replace("-", "") : text.replace("-", "\u2212"))
const decibels = (value) => minus(value.toFixed(2))
const chance = (share) => (share > 0.99 ? "> 99 %" : share < 0.01 ? "< 1 %" : `${(100 * share).toFixed(0)} %`)
const whole = (value) => value.toLocaleString("en", { maximumFractionDigits: 0 })

function digits(value) {
  const short = Number(value.toPrecision(3))
  return short && Math.abs(short) < 1e-4 ? short.toExponential().replace(/-(\d)$/, "-0$1") : String(short)  // as Python's 3g
}

function engineering(value) {
  for (const [limit, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (Math.abs(value) >= 0.9995 * limit) {
      return (Math.abs(value) < 999.5 * limit ? (value / limit).toPrecision(3) : whole(value / limit)) + letter
    }
  }
  return digits(value)
}

function said(column, value) {
  if (!known(value)) return ""
  if (column === "chance") return chance(value)
  if (column === "macs_per_s") return engineering(value)
  if (/(_db|_per_doubling|stoi|pesq)$/.test(column)) return decibels(value)
  if (["parameters", "peak_memory_bytes", "audio_s", "seconds"].includes(column)) return whole(value)
  return typeof value === "number" && !Number.isInteger(value) ? digits(value) : String(value)
}

/** The 95 % interval of a row's score or loss, in brackets; empty where there is none, as for the reference's own loss. */
function interval(column, row) {
  const extrapolated = ["si_snri_extrapolated_low_db", "si_snri_extrapolated_high_db"]
  const ends = { si_snri_db: ["low_db", "high_db"], loss_db: ["loss_low_db", "loss_high_db"],
    si_snri_extrapolated_db: extrapolated }[column] ?? []
  const [low, high] = ends.map((end) => row[end])
  return known(low) && known(high) && low !== high ? `[${decibels(low)}, ${decibels(high)}]` : ""
}

// ---- colours, sounds, printing

function themes() {
  const root = document.documentElement
  const dark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark"
  const name = () => { find("theme").textContent = dark() ? "Light colours" : "Dark colours" }
  find("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark"
    try { localStorage.setItem("theme", root.dataset.theme) } catch { /* a browser may refuse: then it lasts until a reload */ }
    name()
  })
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name)
  name()
}

function sounds() {
  document.addEventListener("play", (event) => {
    for (const other of document.querySelectorAll("audio")) if (other !== event.target) other.pause()
  }, true)
}

/** What is folded on the screen is open on paper. */
function printing() {
  let folded = []
  find("printed")?.removeAttribute("open")
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")]
    for (const one of folded) one.open = true
  })
  addEventListener("afterprint", () => { for (const one of folded) one.open = false })
}

/** Radio buttons in a row; `chosen` is told the value of the one that is picked. */
function choices(fieldset, name, values, chosen) {
  fieldset.append(...Object.entries(values).map(([value, title], i) =>
    make("label", {}, make("input", { type: "radio", name, value, checked: i === 0, onchange: () => chosen(value) }), title)))
}

/** Called when every script is there. */
function start() {
  for (const element of document.querySelectorAll(".scripted")) element.hidden = false
  document.documentElement.classList.add("scripts")
  themes()
  sounds()
  printing()
  front()
  tables()
}
