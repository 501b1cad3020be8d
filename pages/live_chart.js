// Live chart: one Plotly graph that is updated in place. The byte layout it reads is written by services/charts/wire.py.
// The DOM node, the zoom and the pan outlive every refresh; a new `uirevision` or a double click resets the view.

const NO_DATA = 255
const COMPACT_BELOW_PX = 640
const DTYPES = { u1: Uint8Array, i4: Int32Array, f4: Float32Array, f8: Float64Array }
const charts = new WeakMap()

// ---- reading the bytes -------------------------------------------------------------------------------------------

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))
  return new Response(stream).arrayBuffer()
}

async function unpack(bytes) {
  if (String.fromCharCode(...bytes.subarray(0, 4)) !== "UHC1") throw new Error("chart bytes must start with UHC1")
  const packed = bytes.subarray(8)
  const body = bytes[4] & 1 ? await inflate(packed) : packed.slice().buffer
  const headerLength = new DataView(body).getUint32(0, true)
  const message = JSON.parse(new TextDecoder().decode(new Uint8Array(body, 4, headerLength)))
  const arrays = message.arrays.map((a) => new DTYPES[a.dtype](body, 4 + headerLength + a.offset, a.length))
  message.figure = withArrays(message.figure, arrays)
  for (const matrix of Object.values(message.matrices)) {
    for (const field of ["codes", "time_edges_ms", "price_edges"]) matrix[field] = arrays[matrix[field]]
  }
  return message
}

function withArrays(node, arrays) {
  if (Array.isArray(node)) return node.map((item) => withArrays(item, arrays))
  if (node === null || typeof node !== "object") return node
  if ("$array" in node) return arrays[node.$array]
  return Object.fromEntries(Object.entries(node).map(([name, value]) => [name, withArrays(value, arrays)]))
}

// ---- codes to display levels ---------------------------------------------------------------------------------------
// A trace's colour scale spans 0..255: 0 transparent, 255 "no data". `low` and `high` are the codes at which the
// colours begin and end; outside them a cell keeps the end colour. Hover always reads the codes, never the levels.

function levelTable(low, high, first, last) {
  const table = new Uint8Array(256)
  const span = Math.max(1, high - low)
  for (let code = 1; code < NO_DATA; code++) {
    const share = Math.min(1, Math.max(0, (code - low) / span))
    table[code] = Math.round(first + share * (last - first))
  }
  table[NO_DATA] = NO_DATA
  return table
}

function intensityLevels(matrix, meta) {
  const table = levelTable(meta.low, meta.high, 1, 254)
  return matrix.codes.map((code) => table[code])
}

// Long above the middle (128..254), short below it (127..1); a cell with both shows the larger side.
function signedLevels(long, short, meta) {
  const up = levelTable(meta.low, meta.high, 128, 254)
  const down = levelTable(meta.low, meta.high, 127, 1)
  return long.codes.map((code, cell) => {
    const other = short.codes[cell]
    if (code === NO_DATA) return other === NO_DATA ? NO_DATA : down[other]
    if (other === NO_DATA) return up[code]
    return code === 0 && other === 0 ? 0 : code >= other ? up[code] : down[other]
  })
}

function fillHeatmap(trace, matrices) {
  const meta = trace.meta
  const matrix = matrices[meta.kind === "signed" ? meta.long : meta.matrix]
  const levels =
    meta.kind === "signed" ? signedLevels(matrix, matrices[meta.short], meta) : intensityLevels(matrix, meta)
  trace.x = matrix.time_edges_ms
  trace.y = matrix.price_edges
  trace.z = Array.from({ length: matrix.rows }, (_, row) =>
    levels.subarray(row * matrix.columns, (row + 1) * matrix.columns)
  )
}

// ---- words ---------------------------------------------------------------------------------------------------------

function usd(value) {
  const [unit, scale] = value >= 1e9 ? ["B", 1e9] : value >= 1e6 ? ["M", 1e6] : value >= 1e3 ? ["k", 1e3] : ["", 1]
  const digits = Number((value / scale).toPrecision(3)).toLocaleString("en-US", { maximumFractionDigits: 2 })
  return unit ? `${digits} ${unit} $` : `${digits} $`
}

function clock(ms, withDate) {
  const date = new Date(ms)
  const two = (n) => String(n).padStart(2, "0")
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
  return withDate ? `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}` : time
}

function zoneName(ms) {
  const minutes = -new Date(ms).getTimezoneOffset()
  const pad = (n) => String(n).padStart(2, "0")
  const sign = minutes < 0 ? "−" : "+"
  return minutes === 0 ? "UTC" : `UTC${sign}${pad(Math.floor(Math.abs(minutes) / 60))}:${pad(Math.abs(minutes) % 60)}`
}

function duration(ms) {
  return ms >= 60000 ? `${+(ms / 60000).toPrecision(3)} min` : `${+(ms / 1000).toPrecision(3)} s`
}

// ---- hover over a heatmap --------------------------------------------------------------------------------------------

function cellLines(state, trace, row, column) {
  const { matrices } = state.message
  const meta = trace.meta
  const matrix = matrices[meta.kind === "signed" ? meta.long : meta.matrix]
  const read = (name) => {
    const source = matrices[name]
    const code = source.codes[row * source.columns + column]
    if (code === NO_DATA) return null
    return code === 0 ? 0 : source.usd_min * source.usd_ratio ** (code - 1)
  }
  const decimals = state.message.figure.layout.meta.price_decimals ?? 2
  const price = (p) =>
    p.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals })
  const [from, to] = [matrix.time_edges_ms[column], matrix.time_edges_ms[column + 1]]
  const words = (value, label, none) => (value === null ? "no data" : value === 0 ? none : `${usd(value)} ${label}`)
  const lines = [
    `${clock(from, Date.now() - from > 72e6)}  +${duration(to - from)}`,
    `${price(matrix.price_edges[row])} – ${price(matrix.price_edges[row + 1])}`,
  ]
  if (meta.kind === "signed") {
    lines.push(words(read(meta.long), "long", "no long"), words(read(meta.short), "short", "no short"))
    return lines[2] === "no data" && lines[3] === "no data" ? lines.slice(0, 3) : lines
  }
  lines.push(words(read(meta.matrix), meta.label ?? "", `nothing ${meta.label ?? "there"}`))
  return lines
}

function placeTip(state, event, lines) {
  const { tip, root } = state
  tip.replaceChildren(
    ...lines.map((line) => Object.assign(document.createElement("div"), { textContent: line }))
  )
  tip.hidden = false
  const box = root.getBoundingClientRect()
  const [x, y] = [event.clientX - box.left, event.clientY - box.top]
  const left = x + 16 + tip.offsetWidth > box.width ? x - 16 - tip.offsetWidth : x + 16
  tip.style.transform = `translate(${Math.max(0, left)}px, ${Math.min(y + 12, box.height - tip.offsetHeight)}px)`
}

function leave(state) {
  state.hovering = undefined
  state.tip.hidden = true
}

function onHover(state, event) {
  const point = event.points.find((p) => p.fullData.type === "heatmap")
  if (!point || event.points.length > 1) return leave(state)
  const [row, column] = point.pointNumber
  state.hovering = { event: event.event, subplot: point.xaxis._id + point.yaxis._id }
  placeTip(state, event.event, cellLines(state, state.gd.data[point.curveNumber], row, column))
}

// ---- drawing -----------------------------------------------------------------------------------------------------------

// A copy of `node` with the value at a dotted path replaced; what is not on the path is shared.
function patched(node, [key, ...rest], value) {
  const copy = Array.isArray(node) ? [...node] : { ...node }
  copy[key] = rest.length ? patched(copy[key] ?? {}, rest, value) : value
  return copy
}

function patchAll(node, patches) {
  return Object.entries(patches ?? {}).reduce((done, [path, value]) => patched(done, path.split("."), value), node)
}

// The figure as Plotly takes it: matrices filled in, the phone's layout on a narrow container, the user's own ranges.
function drawable(state) {
  const { figure, matrices, height } = state.message
  const compact = state.compact ? figure.layout.meta?.compact : undefined
  const data = figure.data.map((trace, index) => patchAll({ ...trace }, compact?.data?.[index]))
  for (const trace of data) if (trace.meta?.kind) fillHeatmap(trace, matrices)
  const layout = structuredClone(patchAll(figure.layout, compact?.layout))
  const style = getComputedStyle(state.root)
  layout.font = { ...layout.font, family: style.fontFamily }
  layout.autosize = true
  layout.height = height
  if (state.coarse) layout.dragmode = false
  for (const note of layout.annotations ?? []) {
    if (note.text?.includes("{tz}")) note.text = note.text.replace("{tz}", zoneName(Date.now()))
  }
  for (const [axis, range] of Object.entries(state.ranges)) {
    if (layout[axis]) Object.assign(layout[axis], { range, autorange: false })
  }
  return { data, layout }
}

// The buttons are listed one by one: Plotly's own set has one that sends the figure to a server of its makers.
const CONFIG = {
  displaylogo: false,
  doubleClick: false,
  scrollZoom: true,
  plotlyServerURL: "",
  modeBarButtons: [["zoom2d", "pan2d", "toImage"]],
  toImageButtonOptions: { filename: "unified-heatmap", scale: 2 },
}

// A refresh must not tear a zoom box from under the pointer: it waits until the drag has ended.
async function draw(state) {
  if (!state.message || !state.plotly || state.closed) return
  if (state.gd._dragging || state.drawing) {
    clearTimeout(state.retry)
    state.retry = setTimeout(() => draw(state), 80)
    return
  }
  state.drawing = true
  try {
    state.compact = state.root.clientWidth < COMPACT_BELOW_PX
    const { data, layout } = drawable(state)
    await state.plotly.react(state.gd, data, layout, { ...CONFIG, displayModeBar: state.coarse ? false : "hover" })
    if (!state.listening) listen(state)
    // Under a resting pointer the cell has changed: ask again.
    if (state.hovering) state.plotly.Fx.hover(state.gd, state.hovering.event, state.hovering.subplot)
    state.root.dataset.revision = state.message.revision
  } finally {
    state.drawing = false
  }
}

function rememberRanges(state, event) {
  for (const [name, value] of Object.entries(event)) {
    const match = /^([xy]axis\d*)\.range(?:\[([01])\])?$/.exec(name)
    if (!match) continue
    const [, axis, end] = match
    const now = state.gd._fullLayout[axis]?.range
    if (now) state.ranges[axis] = [...now]
    if (end !== undefined && state.ranges[axis]) state.ranges[axis][Number(end)] = value
  }
}

function listen(state) {
  state.listening = true
  state.gd.on("plotly_relayout", (event) => rememberRanges(state, event))
  state.gd.on("plotly_doubleclick", () => {
    state.ranges = {}
    draw(state)
  })
  state.gd.on("plotly_hover", (event) => onHover(state, event))
  state.gd.on("plotly_unhover", () => leave(state))
}

// ---- life ----------------------------------------------------------------------------------------------------------------

function loadScript(url) {
  return new Promise((resolve, reject) => {
    const script = Object.assign(document.createElement("script"), { src: url, async: true })
    script.onload = () => (window.Plotly ? resolve(window.Plotly) : reject(new Error(`no Plotly in ${url}`)))
    script.onerror = () => reject(new Error(`could not load ${url}`))
    document.head.append(script)
  })
}

// The app's own route is cached for a year and compressed; under plain `streamlit run` an unknown path answers with the
// page, so its type is looked at before it is run.
async function loadPlotly(urls) {
  if (window.Plotly) return window.Plotly
  for (const url of urls.slice(0, -1)) {
    const head = await fetch(url, { method: "HEAD" })
    if (head.ok && (head.headers.get("content-type") ?? "").includes("javascript")) return loadScript(url)
  }
  return loadScript(urls.at(-1))
}

function mount(parent) {
  const make = (className) => Object.assign(document.createElement("div"), { className })
  const root = make("uh-chart")
  const gd = make("uh-chart-plot")
  const tip = make("uh-chart-tip")
  tip.hidden = true
  root.append(gd, tip)
  parent.append(root)
  const state = { root, gd, tip, ranges: {}, sequence: 0, coarse: matchMedia("(pointer: coarse)").matches }
  // The wheel scrolls the page; with Ctrl or Cmd it zooms the chart.
  const wheel = (event) => event.ctrlKey || event.metaKey || event.stopPropagation()
  root.addEventListener("wheel", wheel, { capture: true, passive: true })
  state.observer = new ResizeObserver(() => {
    cancelAnimationFrame(state.frame)
    state.frame = requestAnimationFrame(() => resize(state))
  })
  state.observer.observe(root)
  return state
}

function resize(state) {
  const width = state.root.clientWidth
  if (!state.listening || width === 0 || width === state.gd._fullLayout?.width) return
  if (width < COMPACT_BELOW_PX !== state.compact) draw(state)
  else state.plotly.Plots.resize(state.gd)
}

function unmount(parent, state) {
  state.closed = true
  clearTimeout(state.retry)
  cancelAnimationFrame(state.frame)
  state.observer.disconnect()
  if (state.plotly) state.plotly.purge(state.gd)
  state.root.remove()
  charts.delete(parent)
}

async function update(state, bytes) {
  const sequence = ++state.sequence
  const message = await unpack(bytes)
  if (sequence !== state.sequence || state.closed) return
  state.root.style.height = `${message.height}px`
  const label = message.figure.layout.meta?.alt
  if (label) state.root.setAttribute("aria-label", label)
  state.root.setAttribute("role", "img")
  if (state.message && state.message.figure.layout.uirevision !== message.figure.layout.uirevision) state.ranges = {}
  state.message = message
  window.uhPlotly ??= loadPlotly(message.figure.layout.meta.plotly_urls)
  state.plotly = await window.uhPlotly
  await draw(state)
}

export default function (component) {
  const { data, parentElement } = component
  let state = charts.get(parentElement)
  if (!state) charts.set(parentElement, (state = mount(parentElement)))
  if (data instanceof Uint8Array && data !== state.bytes) {
    state.bytes = data
    update(state, data).catch((error) => {
      state.root.dataset.error = error.message
      console.error("live chart:", error)
    })
  } else if (state.message) {
    draw(state)
  }
  return () => unmount(parentElement, state)
}
