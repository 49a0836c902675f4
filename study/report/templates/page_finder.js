// The best variant within the limits of a device.

const LIMITS = Object.fromEntries(Object.entries(AXES).filter(([, axis]) => axis.limit)
  .map(([name, axis]) => [name, [axis.limit, axis.example]]))
const NUMBER = /^(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.?\d*(?:e[+-]?\d+)?|\.\d+)\s*([kKMmG]?)$/
const SIZES = { "": 1, k: 1e3, K: 1e3, m: 1e6, M: 1e6, G: 1e9 }

/** A number as people write it (100k, 1.5M, 250,000, 2e6); NaN for what is none, or not above 0. */
function amount(text) {
  const [, number, letter] = NUMBER.exec(text) ?? []
  return number ? Number(number.replaceAll(",", "")) * SIZES[letter] || NaN : NaN
}

function findBest() {
  const typed = []
  let wrong = ""
  for (const input of find("limits").querySelectorAll("input")) {
    const text = input.value.trim()
    const value = text ? amount(text) : 0
    const [words] = LIMITS[input.name]
    if (text) typed.push(`${text} ${words}`)
    if (Number.isNaN(value)) {
      wrong ||= `“${text}” is no amount of ${words}: write 100k, 1.5M, 250000 or 0.5.`
    }
    input.setAttribute("aria-invalid", Number.isNaN(value))
    limits[input.name] = value || 0
  }
  find("best").classList.toggle("wrong", Boolean(wrong))
  find("best").replaceChildren(...(wrong ? [wrong] : within(typed.join(" and "))))
  draw()
}

/** The best variant within the limits, in words; they contain a link. */
function within(typed) {
  const axes = Object.keys(limits).filter((axis) => limits[axis] > 0)
  if (!typed) return ["Give one or more limits; the best variant within all of them is named here."]
  const fits = (row, axis) => known(row[axis]) && row[axis] <= limits[axis]
  const fit = scored.filter((row) => axes.every((axis) => fits(row, axis)))
  if (!fit.length) {
    const least = (axis) => Math.min(...scored.map((row) => row[axis]).filter(known))
    const there = axes.map((axis) => costs(axis, least(axis))).join(", ")
    return [`No variant has at most ${typed}. The least there is: ${there}.`]
  }
  const [best] = fit.sort((a, b) =>
    b.si_snri_db - a.si_snri_db || a.parameters - b.parameters || a.trial - b.trial)
  const link = make("a", { href: `#trial-${best.trial}` }, `trial ${best.trial}`)
  const scores = ["si_snri_db", "loss_db"].filter((name) => known(best[name]))
    .map((name) => `${data.titles[name][0]} ${inFull(name, best)}`)
  const needs = Object.keys(LIMITS).filter((axis) => known(best[axis]))
    .map((axis) => costs(axis, best[axis]) + (predicted(best, axis) ? " (predicted)" : ""))
  const facts = [...scores, ...needs].join(", ")
  return [`The best with at most ${typed}: `, link, ` (${best.name}), ${facts}.`]
}

const predicted = (row, axis) =>
  axis.includes("@") && (row.predicted ?? "").split(", ").includes(axis.split("@")[1])
const costs = (axis, value) => `${engineering(value)} ${LIMITS[axis][0]}`

function finder() {
  if (!find("finder")) return  // nothing can be recommended
  for (const axis of Object.keys(LIMITS).filter((axis) => measured.includes(axis))) {
    const [words, placeholder] = LIMITS[axis]
    const input = make("input", { name: axis, placeholder, autocomplete: "off",
      spellcheck: "false", "aria-describedby": "best" })
    find("limits").append(make("label", {}, "at most ", input, ` ${words}`))
  }
  find("finder").addEventListener("submit", (event) => event.preventDefault())
  find("finder").addEventListener("input", findBest)
  findBest()
}
