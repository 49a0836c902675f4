// The best variant within the limits of a device.

const LIMITS = {  // by axis: the words for it, and an amount of it
  parameters: ["parameters", "100k"], macs_per_s: ["MACs per second", "50M"], realtime_factor: ["real-time factor", "0.5"],
}
const NUMBER = /^\s*(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.?\d*(?:e[+-]?\d+)?|\.\d+)\s*([kKMmG]?)\s*$/
const SIZES = { "": 1, k: 1e3, K: 1e3, m: 1e6, M: 1e6, G: 1e9 }

/** A number as people write it (100k, 1.5M, 250,000, 2e6); NaN for what is none, or not above 0. */
function amount(text) {
  const [, number, letter] = NUMBER.exec(text) ?? []
  return number ? Number(number.replaceAll(",", "")) * SIZES[letter] || NaN : NaN
}

/** A limit without rounding: 1.25M, or else every digit. */
function exactly(value) {
  for (const letter of "GMk") {
    if (value >= SIZES[letter] && Number.isInteger(100 * value / SIZES[letter])) return value / SIZES[letter] + letter
  }
  return value.toLocaleString("en", { maximumFractionDigits: 12 })
}

function budget() {
  let wrong = ""
  for (const input of find("limits").querySelectorAll("input")) {
    const text = input.value.trim(), value = text ? amount(text) : 0
    if (Number.isNaN(value)) wrong ||= `“${text}” is no amount of ${LIMITS[input.name][0]}: write 100k, 1.5M, 250000 or 0.5.`
    input.setAttribute("aria-invalid", Number.isNaN(value))
    limits[input.name] = value || 0
  }
  find("best").classList.toggle("wrong", Boolean(wrong))
  find("best").replaceChildren(...(wrong ? [wrong] : within()))
  draw()
}

/** What is said of the limits: text and a link. */
function within() {
  const set = Object.entries(limits).filter(([, most]) => most > 0)
  if (!set.length) return ["Give one or more limits; the best variant within all of them is named here."]
  const words = set.map(([axis, most]) => `${exactly(most)} ${LIMITS[axis][0]}`).join(" and ")
  const fit = scored.filter((row) => set.every(([axis, most]) => known(row[axis]) && row[axis] <= most))
  if (!fit.length) {
    const least = (axis) => scored.reduce((low, row) => (known(row[axis]) ? Math.min(low, row[axis]) : low), Infinity)
    return [`No variant has at most ${words}. The least there is: ${set.map(([axis]) => costs(axis, least(axis))).join(", ")}.`]
  }
  // Of equally good ones the smaller, as study/picks.py has it.
  const [best] = fit.sort((a, b) => b.si_snri_db - a.si_snri_db || a.parameters - b.parameters || a.trial - b.trial)
  const scores = ["si_snri_db", "loss_db"].filter((name) => known(best[name])).map((name) =>
    [data.titles[name][0], decibels(best[name]), "dB", interval(name, best)].filter(Boolean).join(" "))
  const needs = Object.keys(LIMITS).filter((axis) => known(best[axis])).map((axis) => costs(axis, best[axis]))
  return [`The best with at most ${words}: `, make("a", { href: `#trial-${best.trial}` }, `trial ${best.trial}`),
    ` (${best.name}), ${[...scores, ...needs].join(", ")}.`]
}

const costs = (axis, value) => `${engineering(value)} ${LIMITS[axis][0]}`

function finder() {
  if (!find("finder")) return  // nothing can be recommended
  for (const axis of Object.keys(LIMITS).filter((axis) => measured.includes(axis))) {
    const [words, example] = LIMITS[axis]
    find("limits").append(make("label", {}, "at most ", make("input", {
      name: axis, placeholder: example, autocomplete: "off", spellcheck: "false", "aria-describedby": "best" }), ` ${words}`))
  }
  find("finder").addEventListener("submit", (event) => event.preventDefault())
  find("finder").addEventListener("input", budget)
  budget()
}
