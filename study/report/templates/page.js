// Beside the page's text: the data, how values are written, audio, printing.
// Text from the study enters the page as text nodes only, never as markup.

const find = (id) => document.getElementById(id)
const SVG = ["svg", "g", "path", "line", "circle", "rect", "text"]

/** An element with attributes and children; `on…` attributes are listeners. */
function make(tag, attributes = {}, ...children) {
  const element = SVG.includes(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag)
  for (const [name, value] of Object.entries(attributes).filter(([, value]) => value !== false)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value)
    else element.setAttribute(name, value === true ? "" : value)
  }
  element.append(...children)
  return element
}

// ---- data: columns become rows, and a run gets what is stored with its variant

const data = JSON.parse(find("data").textContent)

function unpacked(columns) {
  const plain = Object.entries(columns).map(([name, column]) =>
    [name, column.words ? column.at.map((i) => column.words[i]) : column])
  const row = (_, i) => Object.fromEntries(plain.map(([name, column]) => [name, column[i]]))
  return (plain[0]?.[1] ?? []).map(row)
}

const variants = unpacked(data.variants)
const byTrial = new Map(variants.map((row) => [row.trial, row]))
const runs = unpacked(data.runs).map((run) => {
  const { name, letters, parameters, macs_per_s } = byTrial.get(run.trial) ?? {}
  return { name, letters, parameters, macs_per_s, ...run }
})
const known = (value) => value !== null && value !== undefined && value !== ""
const scored = variants.filter((row) => row.state === "complete" && known(row.si_snri_db))

// ---- values as study/analysis/wording.py writes them

const minus = (text) => (Number(text) === 0 ? text.replace("-", "") : text.replace("-", "\u2212"))
const decibels = (value) => minus(value.toFixed(2))
const whole = (value) => value.toLocaleString("en", { maximumFractionDigits: 0 })

function probability(share) {
  if (share > 0.99) return "> 99 %"
  return share < 0.01 ? "< 1 %" : `${(100 * share).toFixed(0)} %`
}

function digits(value) {  // as Python's 3g
  const short = Number(value.toPrecision(3))
  if (!short || Math.abs(short) >= 1e-4) return String(short)
  return short.toExponential().replace(/-(\d)$/, "-0$1")
}

function engineering(value) {
  for (const [limit, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    const amount = value / limit
    if (Math.abs(amount) >= 999.5) return whole(amount) + letter
    if (Math.abs(amount) >= 0.9995) return amount.toPrecision(3) + letter
  }
  return digits(value)
}

const COUNTS = ["parameters", "audio_s", "seconds"]

function cell(column, value) {
  if (!known(value)) return ""
  if (column === "chance") return probability(value)
  if (column === "macs_per_s") return engineering(value)
  const isScore = data.scores.includes(column) || /(_db|_per_doubling)$/.test(column)
  if (isScore) return decibels(value)
  if (COUNTS.includes(column) || /_bytes$|^memory@/.test(column)) return whole(value)
  return typeof value === "number" && !Number.isInteger(value) ? digits(value) : String(value)
}

/** The 95 % interval in brackets; empty where there is none, as of the reference's own loss. */
function interval(column, row) {
  const [low, high] = (data.intervals[column] ?? []).map((end) => row[end])
  return known(low) && known(high) && low !== high ? `[${decibels(low)}, ${decibels(high)}]` : ""
}

/** A value with its unit and interval. */
function inFull(column, row) {
  const unit = column.endsWith("_db") ? "dB" : column.endsWith("_bytes") ? "bytes" : ""
  return [cell(column, row[column]), unit, interval(column, row)].filter(Boolean).join(" ")
}

// ---- audio, printing

function audio() {
  document.addEventListener("play", (event) => {
    for (const one of document.querySelectorAll("audio")) if (one !== event.target) one.pause()
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

/** Radio buttons in a row; `chosen` is called with the value of the checked one. */
function choices(fieldset, name, values, chosen) {
  for (const [value, title] of Object.entries(values)) {
    const checked = fieldset.querySelector("input") === null
    const onchange = () => chosen(value)
    const button = make("input", { type: "radio", name, value, checked, onchange })
    fieldset.append(make("label", {}, button, title))
  }
}

/** Called when every script is there. */
function start() {
  for (const element of document.querySelectorAll(".scripted")) element.hidden = false
  document.documentElement.classList.add("scripts")
  audio()
  printing()
  front()
  tables()
}
