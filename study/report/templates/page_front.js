// The chart of the front: every scored variant against one of its costs, to be pointed at or walked through.

const AXES = {
  parameters: { title: "Parameters", label: "parameters", unit: 1 },
  macs_per_s: { title: "MACs", label: "multiply-accumulates for one second of sound", unit: 1 },
  realtime_factor: { title: "Real-time factor", label: "real-time factor on one thread", unit: 1 },
  peak_memory_bytes: { title: "Memory", label: "peak memory (MB)", unit: 1e6 },
}
const DETAILS = ["trial", "si_snri_db", "loss_db", "chance", ...Object.keys(AXES), "seeds"]
const REACH = 40  // pixels from which a point is found
const LABELS = 16
const measured = Object.keys(AXES).filter((axis) => scored.some((row) => row[axis] > 0))
const limits = {}  // by axis, what the reader allows; see page_finder.js
let chart = { axis: measured[0], points: [], at: -1 }

// ---- numbers

/** The scored variants against a cost, cheapest first; `best` are those no cheaper one is as good as. */
function pointsOf(axis) {
  const rows = scored.filter((row) => row[axis] > 0)
    .sort((a, b) => a[axis] - b[axis] || b.si_snri_db - a.si_snri_db || a.trial - b.trial)
  let top = -Infinity
  return rows.map((row) => {
    const best = row.si_snri_db > top
    if (best) top = row.si_snri_db
    return { row, best, kind: row.trial === 0 ? "reference" : row.on_front ? "kept" : "beaten" }
  })
}

/** The range of the y axis, with room, and round values to draw lines at. */
function scale(values) {
  const low = Math.min(...values), high = Math.max(...values), room = Math.max(0.06 * (high - low), 0.1)
  const rough = (high - low + 2 * room) / 8, power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power
  const ticks = []
  for (let tick = Math.ceil((low - room) / step) * step; tick <= high + room; tick += step) ticks.push(tick)
  return { low: low - room, high: high + room, ticks, decimals: Math.max(0, -Math.floor(Math.log10(step))) }
}

/** Round values of a logarithmic axis, as many as there is room for. */
function logTicks(low, high, most) {
  const fine = Array.from({ length: 18 }, (_, i) => 1 + i / 2)
  for (const factors of [fine, [1, 1.5, 2, 3, 4, 5, 6, 8], [1, 2, 5], [1, 3], [1]]) {
    const ticks = []
    for (let power = 10 ** Math.floor(Math.log10(low)); power <= high; power *= 10) {
      ticks.push(...factors.map((factor) => factor * power).filter((tick) => tick >= low && tick <= high))
    }
    if (ticks.length <= most || factors.length === 1) return ticks
  }
}

function plane(points, axis) {
  const width = find("chart").clientWidth, height = Math.round(Math.min(500, Math.max(300, 0.52 * width)))
  const frame = { left: 44, right: width - 12, top: 30, bottom: height - 46 }
  const costs = points.map((point) => point.row[axis])
  const room = Math.max((Math.max(...costs) / Math.min(...costs)) ** 0.05, 1.12)
  const low = Math.min(...costs) / room, high = Math.max(...costs) * room
  const ends = points.flatMap(({ row, kind }) =>
    (kind !== "beaten" && known(row.low_db) ? [row.low_db, row.high_db] : [row.si_snri_db]))
  const scores = scale(ends)
  const x = (cost) => frame.left + (frame.right - frame.left) * Math.log(cost / low) / Math.log(high / low)
  const y = (score) => frame.bottom - (frame.bottom - frame.top) * (score - scores.low) / (scores.high - scores.low)
  return { width, height, frame, scores, x, y, ticks: logTicks(low, high, width / 62) }
}

// ---- ink

function draw() {
  const { axis } = chart, points = pointsOf(axis), on = plane(points, axis)
  for (const point of points) Object.assign(point, { x: on.x(point.row[axis]), y: on.y(point.row.si_snri_db) })
  const chosen = chart.points[chart.at]?.row
  chart = { ...chart, points, at: chosen ? points.findIndex((point) => point.row === chosen) : -1 }
  const svg = find("chart").querySelector("svg")
  svg.setAttribute("viewBox", `0 0 ${on.width} ${on.height}`)
  svg.style.height = `${on.height}px`
  const kept = points.filter((point) => point.kind !== "beaten")
  svg.replaceChildren(...paper(on), ...limit(on), staircase(on), ...bars(on, kept), crowd(points), ...kept.map(mark),
    make("circle", { class: "ring", id: "ring", r: 10, visibility: "hidden" }))
  label(svg, kept, on)
  legend()
  choosePoint(chart.at, false)
}

function paper({ frame, scores, ticks, x, y, width, height }) {
  const { unit, label: title } = AXES[chart.axis]
  const tick = (value) => [[1e9, "G"], [1e6, "M"], [1e3, "k"]].map(([size, letter]) =>
    value >= 0.999 * size ? digits(value / size) + letter : "").find(Boolean) ?? digits(value)
  return [
    ...scores.ticks.map((score) => make("g", { class: "grid" },
      make("line", { x1: frame.left, x2: frame.right, y1: y(score), y2: y(score) }),
      make("text", { x: frame.left - 8, y: y(score) + 4, "text-anchor": "end" }, minus(score.toFixed(scores.decimals))))),
    make("line", { class: "axis", x1: frame.left, x2: frame.right, y1: frame.bottom, y2: frame.bottom }),
    ...ticks.map((cost) => make("g", { class: "axis" },
      make("line", { x1: x(cost), x2: x(cost), y1: frame.bottom, y2: frame.bottom + 5 }),
      make("text", { x: x(cost), y: frame.bottom + 19, "text-anchor": "middle" }, tick(cost / unit)))),
    make("text", { class: "title", x: width - 12, y: height - 6, "text-anchor": "end" }, title),
    make("text", { class: "title", x: 0, y: 12 }, "SI-SNRi on the test set (dB)"),
  ]
}

/** What the limit on this axis leaves out is shaded. */
function limit({ frame, x }) {
  const cost = limits[chart.axis]
  if (!cost) return []
  const at = Math.min(frame.right, Math.max(frame.left, x(cost)))
  return [make("rect", { class: "out", x: at, y: frame.top, width: frame.right - at, height: frame.bottom - frame.top }),
    make("line", { class: "limit", x1: at, x2: at, y1: frame.top, y2: frame.bottom })]
}

function staircase({ frame }) {
  const best = chart.points.filter((point) => point.best)
  const steps = best.map(({ x, y }, i) => (i ? `H${x.toFixed(1)}V${y.toFixed(1)}` : `M${x.toFixed(1)} ${y.toFixed(1)}`))
  return make("path", { class: "best", d: `${steps.join("")}H${frame.right}` })
}

/** All beaten points as one path of dots: ten thousand cost no more than a line. */
function crowd(points) {
  const beaten = points.filter((point) => point.kind === "beaten")
  const dots = beaten.map(({ x, y }) => `M${x.toFixed(1)} ${y.toFixed(1)}h0`)
  return make("path", { class: beaten.length > 2000 ? "beaten many" : "beaten", d: dots.join("") })
}

function bars({ frame, y }, kept) {
  const base = kept.find((point) => point.kind === "reference")
  const level = base ? [make("line", { class: "level", x1: frame.left, x2: frame.right, y1: base.y, y2: base.y })] : []
  return [...level, ...kept.filter(({ row }) => known(row.low_db)).map(({ x, kind, row }) =>
    make("line", { class: `bar ${kind}`, x1: x, x2: x, y1: y(row.low_db), y2: y(row.high_db) }))]
}

/** A disc, hollow where another is better at this cost; the reference is a star. */
function mark({ x, y, kind, best }) {
  if (kind !== "reference") return make("circle", { class: best ? "kept" : "kept hollow", cx: x, cy: y, r: best ? 5 : 4 })
  const corners = Array.from({ length: 10 }, (_, i) => {
    const angle = Math.PI * (i / 5 - 0.5), radius = i % 2 ? 4 : 10
    return `${(x + radius * Math.cos(angle)).toFixed(1)} ${(y + radius * Math.sin(angle)).toFixed(1)}`
  })
  return make("path", { class: "reference", d: `M${corners.join("L")}Z` })
}

/** Names beside points where they cover no other point, bar or name: the picks and the reference before the rest. */
function label(svg, kept, { frame, y: place }) {
  const taken = kept.map(({ x, y }) => ({ x: x - 5, y: y - 5, width: 10, height: 10 }))
  for (const { x, row } of kept) {
    const top = place(row.high_db ?? row.si_snri_db), bottom = place(row.low_db ?? row.si_snri_db)
    taken.push({ x: x - 3, y: top, width: 6, height: bottom - top })
  }
  const rank = (point) => (point.kind === "reference" ? 0 : data.picks.includes(point.row.trial) ? 1 : point.best ? 2 : 3)
  let room = Math.min(LABELS, (frame.right - frame.left) / 70)
  for (const { x, y, row, kind } of [...kept].sort((a, b) => rank(a) - rank(b))) {
    if (room < 1) return
    const text = svg.appendChild(make("text", { class: `label ${kind}` }, row.name))
    const { width, height } = text.getBBox()
    // The front leaves the upper left free.
    const corners = [[-9 - width, -height - 1], [9, 3], [9, -height - 3], [-9 - width, 4]]
    const box = corners.map(([right, down]) => ({ x: x + right, y: y + down, width, height }))
      .find((box) => inside(box, frame) && !taken.some((other) => overlap(box, other)))
    if (!box) { text.remove(); continue }
    text.setAttribute("x", box.x)
    text.setAttribute("y", box.y + 0.78 * height)
    taken.push(box)
    room -= 1
  }
}

const inside = (box, { left, right, top, bottom }) =>
  box.x >= left && box.x + box.width <= right + 8 && box.y >= top - 8 && box.y + box.height <= bottom
const overlap = (a, b) => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height

// ---- pointing

function nearest(event) {
  const box = find("chart").getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top
  let found = -1, least = REACH ** 2
  chart.points.forEach((point, i) => {
    const distance = (point.x - x) ** 2 + (point.y - y) ** 2
    if (distance < least) [found, least] = [i, distance]
  })
  return found
}

/** Show a point, or none for −1; `aloud` to screen readers too. */
function choosePoint(at, aloud) {
  const tip = find("tip"), ring = find("ring"), point = chart.points[at]
  chart.at = at
  tip.hidden = !point
  ring.setAttribute("visibility", point ? "visible" : "hidden")
  if (!point) return
  const { x, y, row } = point, facts = details(row)
  ring.setAttribute("cx", x)
  ring.setAttribute("cy", y)
  tip.replaceChildren(make("b", {}, row.name), make("small", {}, row.letters ?? ""),
    make("dl", {}, ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])))
  const width = find("chart").clientWidth, left = x < width / 2 ? x + 16 : x - 16 - tip.offsetWidth
  tip.style.left = `${Math.max(0, Math.min(left, width - tip.offsetWidth))}px`
  tip.style.top = `${Math.max(0, y - tip.offsetHeight / 2)}px`
  if (!aloud) return
  const place = `${at + 1} of ${chart.points.length}: ${row.name}`
  find("said").textContent = [place, ...facts.map((fact) => fact.join(" "))].join(", ")
}

/** What is known of a variant, as the table says it. */
function details(row) {
  return DETAILS.filter((name) => known(row[name]) && !(name === "loss_db" && row.trial === 0)).map((name) => {
    const [title] = data.titles[name]
    const unit = name.endsWith("_db") ? "dB" : name.endsWith("_bytes") ? "bytes" : ""
    const value = [said(name, row[name]), unit, interval(name, row)].filter(Boolean).join(" ")
    return [name === "chance" ? "chance of the front" : title, value]
  })
}

function walk(event) {
  const { points, at } = chart, last = points.length - 1
  const along = (step) => {
    let next = at < 0 ? (step > 0 ? 0 : last) : at + step
    while (points[next] && points[next].kind === "beaten") next += step
    return points[next] ? next : at
  }
  const to = {
    ArrowRight: () => (at < 0 ? 0 : Math.min(at + 1, last)), ArrowLeft: () => (at < 0 ? last : Math.max(at - 1, 0)),
    ArrowUp: () => along(1), ArrowDown: () => along(-1), Home: () => 0, End: () => last, Escape: () => -1,
  }[event.key]
  if (event.ctrlKey || event.altKey || event.metaKey) return
  if (to) choosePoint(to(), true)
  else if (event.key === "Enter" && at >= 0) go(points[at].row.trial)
  else return
  event.preventDefault()
}

function pointing(box) {
  let touched = false
  box.addEventListener("keydown", walk)
  box.addEventListener("pointerdown", (event) => { touched = event.pointerType === "touch" })
  box.addEventListener("pointermove", (event) => { if (event.pointerType !== "touch") choosePoint(nearest(event), false) })
  box.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") choosePoint(-1, false) })
  box.addEventListener("blur", () => choosePoint(-1, false))
  box.addEventListener("click", (event) => {  // a finger cannot hover: its first tap shows, its second goes
    const at = nearest(event)
    if (at < 0 || (touched && at !== chart.at)) choosePoint(at, touched)
    else go(chart.points[at].row.trial)
  })
}

function legend() {
  const kinds = new Set(chart.points.map(({ kind, best }) => (kind === "kept" && !best ? "hollow" : kind)))
  if (scored.some((row) => known(row.low_db))) kinds.add("bar")
  const hollow = ["parameters", "macs_per_s"].includes(chart.axis) ? "thanks to its other cost" : "but not the best at this cost"
  const keys = { kept: "beaten by none", hollow: `beaten by none, ${hollow}`, beaten: "beaten", reference: "reference",
    bar: "95 % interval" }
  find("legend").replaceChildren(...Object.keys(keys).filter((kind) => kinds.has(kind)).map((kind) =>
    make("li", { class: kind }, keys[kind])))
}

function front() {
  if (!measured.length) {
    find("front").parentElement.querySelector(".scripted").hidden = true
    return
  }
  choices(find("axes"), "axis", Object.fromEntries(measured.map((axis) => [axis, AXES[axis].title])), (axis) => {
    chart = { ...chart, axis }
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
