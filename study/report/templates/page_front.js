// The chart of the front: every scored variant against one of its costs, for mouse and keyboard.

// By column: title, label and unit; and where limits are for it, the words for one and an example.
const AXES = data.axes
const DETAILS = ["trial", "si_snri_db", "loss_db", "chance", ...Object.keys(AXES), "seeds"]
const REACH = 40  // pixels from which a point is found
const LABELS = 16
const measured = Object.keys(AXES).filter((axis) => scored.some((row) => row[axis] > 0))
const limits = {}  // by axis, what the reader allows; see page_finder.js
let chart = { axis: measured[0], points: [], at: -1 }

// ---- numbers

/** The scored variants against a cost, cheapest first; `best`: no cheaper one is as good. */
function pointsOf(axis) {
  const rows = scored.filter((row) => row[axis] > 0)
    .sort((a, b) => a[axis] - b[axis] || b.si_snri_db - a.si_snri_db || a.trial - b.trial)
  let top = -Infinity
  return rows.map((row) => {
    const best = row.si_snri_db > top
    if (best) top = row.si_snri_db
    return { row, best, kind: kindOf(row) || "dominated" }
  })
}

/** The range of the y axis, with room, and round values to draw lines at. */
function scale(values) {
  const room = Math.max(0.06 * (Math.max(...values) - Math.min(...values)), 0.1)
  const low = Math.min(...values) - room
  const high = Math.max(...values) + room
  const power = 10 ** Math.floor(Math.log10((high - low) / 8))
  const step = [1, 2, 5, 10].find((factor) => factor * power >= (high - low) / 8) * power
  const ticks = []
  for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) ticks.push(tick)
  return { low, high, ticks, decimals: Math.max(0, -Math.floor(Math.log10(step))) }
}

/** Round values of a logarithmic axis, as many as there is room for. */
function logTicks(low, high, most) {
  const fine = Array.from({ length: 18 }, (_, i) => 1 + i / 2)
  const choices = [fine, [1, 1.5, 2, 3, 4, 5, 6, 8], [1, 2, 5], [1, 3], [1]]
  const ticks = choices.map((factors) => {
    const found = []
    for (let power = 10 ** Math.floor(Math.log10(low)); power <= high; power *= 10) {
      found.push(...factors.map((factor) => factor * power))
    }
    return found.filter((tick) => tick >= low && tick <= high)
  })
  return ticks.find((found) => found.length <= most) ?? ticks.at(-1)
}

/** Where values lie: the frame, its ticks, and the functions x and y from values to pixels. */
function plane(points, axis) {
  const width = find("chart").clientWidth
  const height = Math.round(Math.min(500, Math.max(300, 0.52 * width)))
  const frame = { left: 44, right: width - 12, top: 30, bottom: height - 46 }
  const costs = points.map((point) => point.row[axis])
  const room = Math.max((Math.max(...costs) / Math.min(...costs)) ** 0.05, 1.12)
  const low = Math.min(...costs) / room
  const high = Math.max(...costs) * room
  const scores = scale(points.flatMap(({ row, kind }) =>
    (kind !== "dominated" && known(row.low_db) ? [row.low_db, row.high_db] : [row.si_snri_db])))
  const wide = (frame.right - frame.left) / Math.log(high / low)
  const tall = (frame.bottom - frame.top) / (scores.high - scores.low)
  const x = (cost) => frame.left + wide * Math.log(cost / low)
  const y = (score) => frame.bottom - tall * (score - scores.low)
  return { width, height, frame, scores, x, y, ticks: logTicks(low, high, width / 62) }
}

// ---- drawing

function draw() {
  const points = pointsOf(chart.axis)
  const on = plane(points, chart.axis)
  for (const point of points) {
    point.x = on.x(point.row[chart.axis])
    point.y = on.y(point.row.si_snri_db)
  }
  const chosen = chart.points[chart.at]?.row
  const at = chosen ? points.findIndex((point) => point.row === chosen) : -1
  chart = { ...chart, points, at }
  const svg = find("chart").querySelector("svg")
  svg.setAttribute("viewBox", `0 0 ${on.width} ${on.height}`)
  svg.style.height = `${on.height}px`
  const pareto = points.filter((point) => point.kind !== "dominated")
  const ring = make("circle", { class: "ring", id: "ring", r: 10, visibility: "hidden" })
  svg.replaceChildren(...axes(on), ...limit(on), staircase(on), ...bars(on, pareto), crowd(points),
    ...pareto.map(mark), ring)
  label(svg, pareto, on)
  legend()
  choosePoint(chart.at, false)
}

const across = ({ left, right }, y, name) =>
  make("line", { class: name, x1: left, x2: right, y1: y, y2: y })

function axes({ frame, scores, ticks, x, y, width, height }) {
  const { unit, label } = AXES[chart.axis]
  const tick = (value) => engineering(value).replace(/\.0+(?=\D|$)|(\.\d*[1-9])0+(?=\D|$)/, "$1")
  const grid = scores.ticks.map((score) => {
    const place = { x: frame.left - 8, y: y(score) + 4, "text-anchor": "end" }
    const text = make("text", place, minus(score.toFixed(scores.decimals)))
    return make("g", { class: "grid" }, across(frame, y(score)), text)
  })
  const costs = ticks.map((cost) => {
    const at = x(cost)
    const line = make("line", { x1: at, x2: at, y1: frame.bottom, y2: frame.bottom + 5 })
    const place = { x: at, y: frame.bottom + 19, "text-anchor": "middle" }
    return make("g", { class: "axis" }, line, make("text", place, tick(cost / unit)))
  })
  const below = { class: "title", x: width - 12, y: height - 6, "text-anchor": "end" }
  const above = { class: "title", x: 0, y: 12 }
  return [...grid, across(frame, frame.bottom, "axis"), ...costs, make("text", below, label),
    make("text", above, "SI-SNRi on the test set (dB)")]
}

/** Beyond the limit on this axis the chart is shaded. */
function limit({ frame, x }) {
  const cost = limits[chart.axis]
  if (!cost) return []
  const at = Math.min(frame.right, Math.max(frame.left, x(cost)))
  const size = { width: frame.right - at, height: frame.bottom - frame.top }
  return [make("rect", { class: "out", x: at, y: frame.top, ...size }),
    make("line", { class: "limit", x1: at, x2: at, y1: frame.top, y2: frame.bottom })]
}

function staircase({ frame }) {
  const best = chart.points.filter((point) => point.best)
  const steps = best.map(({ x, y }, i) =>
    (i ? `H${x.toFixed(1)}V${y.toFixed(1)}` : `M${x.toFixed(1)} ${y.toFixed(1)}`))
  return make("path", { class: "best", d: `${steps.join("")}H${frame.right}` })
}

/** All dominated points as one path of dots: ten thousand cost no more than a line. */
function crowd(points) {
  const dominated = points.filter((point) => point.kind === "dominated")
  const dots = dominated.map(({ x, y }) => `M${x.toFixed(1)} ${y.toFixed(1)}h0`)
  const name = dots.length > 2000 ? "dominated many" : "dominated"
  return make("path", { class: name, d: dots.join("") })
}

function bars({ frame, y }, pareto) {
  const base = pareto.find((point) => point.kind === "reference")
  const level = base ? [across(frame, base.y, "level")] : []
  const sure = pareto.filter(({ row }) => known(row.low_db))
  return [...level, ...sure.map(({ x, kind, row }) =>
    make("line", { class: `bar ${kind}`, x1: x, x2: x, y1: y(row.low_db), y2: y(row.high_db) }))]
}

/** A disc, hollow where another is better at this cost; the reference is a star. */
function mark({ x, y, kind, best }) {
  if (kind !== "reference") {
    const [looks, r] = best ? ["pareto", 5] : ["pareto hollow", 4]
    return make("circle", { class: looks, cx: x, cy: y, r })
  }
  const corners = Array.from({ length: 10 }, (_, i) => {
    const angle = Math.PI * (i / 5 - 0.5)
    const radius = i % 2 ? 4 : 10
    const [right, down] = [Math.cos(angle), Math.sin(angle)].map((way) => radius * way)
    return `${(x + right).toFixed(1)} ${(y + down).toFixed(1)}`
  })
  return make("path", { class: "reference", d: `M${corners.join("L")}Z` })
}

function rank({ kind, row, best }) {
  if (kind === "reference") return 0
  if (data.picks.includes(row.trial)) return 1
  return best ? 2 : 3
}

/** Names beside points where they cover no other point, bar or name, the most important first. */
function label(svg, pareto, { frame, y: place }) {
  const taken = pareto.map(({ x, y }) => ({ x: x - 5, y: y - 5, width: 10, height: 10 }))
  for (const { x, row } of pareto) {
    const top = place(row.high_db ?? row.si_snri_db)
    const bottom = place(row.low_db ?? row.si_snri_db)
    taken.push({ x: x - 3, y: top, width: 6, height: bottom - top })
  }
  let room = Math.min(LABELS, (frame.right - frame.left) / 70)
  for (const { x, y, row, kind } of [...pareto].sort((a, b) => rank(a) - rank(b))) {
    if (room < 1) return
    const text = svg.appendChild(make("text", { class: `label ${kind}` }, row.name))
    const { width, height } = text.getBBox()
    // The front leaves the upper left free.
    const corners = [[-9 - width, -height - 1], [9, 3], [9, -height - 3], [-9 - width, 4]]
    const box = corners.map(([right, down]) => ({ x: x + right, y: y + down, width, height }))
      .find((box) => inside(box, frame) && !taken.some((other) => overlap(box, other)))
    if (!box) {
      text.remove()
      continue
    }
    text.setAttribute("x", box.x)
    text.setAttribute("y", box.y + 0.78 * height)
    taken.push(box)
    room -= 1
  }
}

const inside = ({ x, y, width, height }, { left, right, top, bottom }) =>
  x >= left && x + width <= right + 8 && y >= top - 8 && y + height <= bottom
const overlap = (a, b) =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height

// ---- pointing

function nearest(event) {
  const box = find("chart").getBoundingClientRect()
  const distances = chart.points.map(({ x, y }) =>
    Math.hypot(x - event.clientX + box.left, y - event.clientY + box.top))
  const least = distances.reduce((low, distance) => Math.min(low, distance), REACH)
  return distances.findIndex((distance) => distance <= least && distance < REACH)
}

/** Show a point, or none for −1; `aloud` to screen readers too. */
function choosePoint(at, aloud) {
  const tip = find("tip")
  const ring = find("ring")
  const point = chart.points[at]
  chart.at = at
  tip.hidden = !point
  ring.setAttribute("visibility", point ? "visible" : "hidden")
  if (!point) return
  const { x, y, row } = point
  const facts = details(row)
  ring.setAttribute("cx", x)
  ring.setAttribute("cy", y)
  const list = facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])
  tip.replaceChildren(make("b", {}, row.name), make("small", {}, row.letters ?? ""),
    make("dl", {}, ...list))
  const width = find("chart").clientWidth
  const left = x < width / 2 ? x + 16 : x - 16 - tip.offsetWidth
  tip.style.left = `${Math.max(0, Math.min(left, width - tip.offsetWidth))}px`
  tip.style.top = `${Math.max(0, y - tip.offsetHeight / 2)}px`
  if (!aloud) return
  const place = `${at + 1} of ${chart.points.length}: ${row.name}`
  find("said").textContent = [place, ...facts.map((fact) => fact.join(" "))].join(", ")
}

/** What is known of a variant, as in the table. */
function details(row) {
  const told = (name) => known(row[name]) && !(name === "loss_db" && row.trial === 0)
  const title = (name) => (name === "chance" ? "probability of the front" : data.titles[name][0])
  return DETAILS.filter(told).map((name) => [title(name), inFull(name, row)])
}

function walk(event) {
  const { points, at } = chart
  const last = points.length - 1
  const along = (step) => {
    let next = at + step
    if (at < 0) next = step > 0 ? 0 : last
    while (points[next]?.kind === "dominated") next += step
    return points[next] ? next : at
  }
  const to = {
    ArrowRight: () => (at < 0 ? 0 : Math.min(at + 1, last)),
    ArrowLeft: () => (at < 0 ? last : Math.max(at - 1, 0)),
    ArrowUp: () => along(1),
    ArrowDown: () => along(-1),
    Home: () => 0,
    End: () => last,
    Escape: () => -1,
  }[event.key]
  if (event.ctrlKey || event.altKey || event.metaKey) return
  if (to) choosePoint(to(), true)
  else if (event.key === "Enter" && at >= 0) go(points[at].row.trial)
  else return
  event.preventDefault()
}

function pointing(box) {
  const byMouse = (at) => (event) => {
    if (event.pointerType !== "touch") choosePoint(at(event), false)
  }
  let touched = false
  box.addEventListener("keydown", walk)
  box.addEventListener("pointerdown", (event) => { touched = event.pointerType === "touch" })
  box.addEventListener("pointermove", byMouse(nearest))
  box.addEventListener("pointerleave", byMouse(() => -1))
  box.addEventListener("blur", () => choosePoint(-1, false))
  box.addEventListener("click", (event) => {  // a finger's first tap shows, its second goes
    const at = nearest(event)
    if (at < 0 || (touched && at !== chart.at)) choosePoint(at, touched)
    else go(chart.points[at].row.trial)
  })
}

function legend() {
  const kinds = new Set(chart.points.map(({ kind, best }) =>
    (kind === "pareto" && !best ? "hollow" : kind)))
  if (scored.some((row) => known(row.low_db))) kinds.add("bar")
  const objective = ["parameters", "macs_per_s"].includes(chart.axis)
  const hollow = objective ? "thanks to the other cost" : "but not the best at this cost"
  const keys = { pareto: "Pareto-optimal", hollow: `Pareto-optimal, ${hollow}`,
    dominated: "dominated", reference: "reference", bar: "95 % confidence interval" }
  find("legend").replaceChildren(...Object.keys(keys).filter((kind) => kinds.has(kind))
    .map((kind) => make("li", { class: kind }, keys[kind])))
}

function front() {
  if (!measured.length) {
    find("front").parentElement.querySelector(".scripted").hidden = true
    return
  }
  const titles = Object.fromEntries(measured.map((axis) => [axis, AXES[axis].title]))
  choices(find("axes"), "axis", titles, (axis) => {
    chart.axis = axis
    draw()
  })
  pointing(find("chart"))
  finder()
  let width = 0
  new ResizeObserver(([entry]) => {
    if (Math.round(entry.contentRect.width) !== width) draw()
    width = Math.round(entry.contentRect.width)
  }).observe(find("chart"))
}
