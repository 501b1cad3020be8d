// Mounting, resizing, updating and leaving; the last of the files, and the only one that exports.
// The DOM node, the zoom and the pan outlive every refresh; a new `uirevision` or a double click resets the view.

const charts = new WeakMap()
const CHROME_PX = 300 // what a page has above and below its chart
const HEIGHT_OF_WIDTH = 0.62
const HOW_TO = "Arrow keys read the heatmap cell by cell, plus and minus zoom, zero resets, Space marks a box."

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
  const root = element("uh-chart", parent)
  const stage = element("uh-chart-stage", root)
  const canvas = element("uh-chart-heat", stage, "canvas")
  const gd = element("uh-chart-plot", stage)
  const over = element("uh-chart-over", root)
  const state = { root, stage, canvas, gd, over, ranges: {}, follows: {}, sequence: 0, lines: [], bars: [], images: [], panels: [] }
  state.boxNode = element("uh-box", over)
  state.priceLabel = element("uh-label uh-label-price", over)
  state.timeLabel = element("uh-label uh-label-time", over)
  state.tip = element("uh-chart-tip", over)
  state.live = element("uh-live", root)
  state.live.setAttribute("aria-live", "polite")
  for (const part of [state.boxNode, state.priceLabel, state.timeLabel, state.tip]) part.hidden = true
  state.coarse = matchMedia("(pointer: coarse)").matches
  // The wheel scrolls the page; with Ctrl or Cmd it zooms the chart.
  const wheel = (event) => event.ctrlKey || event.metaKey || event.stopPropagation()
  root.addEventListener("wheel", wheel, { capture: true, passive: true })
  stage.addEventListener("keydown", (event) => onKey(state, event))
  listenToPointer(state)
  listenForBoxes(state)
  looks.states.add(state)
  linked.add(state)
  state.resized = () => {
    cancelAnimationFrame(state.frame)
    state.frame = requestAnimationFrame(() => resize(state))
  }
  state.observer = new ResizeObserver(state.resized)
  state.observer.observe(root)
  window.addEventListener("resize", state.resized)
  return state
}

// A chart that fills is as tall as the window allows; the room that Streamlit reserved for it grows along.
function setHeight(state) {
  const { height, revision, figure } = state.message
  const width = state.root.clientWidth
  const isFilling = figure.layout.meta.fill && width >= COMPACT_BELOW_PX
  const wanted = isFilling ? Math.max(height, Math.round(Math.min(innerHeight - CHROME_PX, HEIGHT_OF_WIDTH * width))) : height
  if (wanted === state.height) return false
  state.height = wanted
  state.root.style.height = `${wanted}px`
  const room = figure.layout.meta.fill && state.root.closest(`.st-key-${CSS.escape(revision.split("/")[0])}`)
  if (room) room.style.height = room.style.flexBasis = `${wanted}px`
  return true
}

// A chart with heat is worked with; others are figures with a name (not "img": the buttons of the mode bar are inside).
function describe(state) {
  const { root, stage } = state
  const label = state.message.figure.layout.meta?.alt
  const isHeat = state.read.length > 0
  if (label) root.setAttribute("aria-label", label)
  root.setAttribute("role", isHeat ? "group" : "figure")
  state.canvas.hidden = !isHeat
  if (!isHeat) return
  stage.tabIndex = 0
  stage.setAttribute("role", "application")
  stage.setAttribute("aria-roledescription", "heatmap")
  stage.setAttribute("aria-label", `${label ?? "Heatmap"}. ${HOW_TO}`)
}

async function resize(state) {
  const width = state.root.clientWidth
  if (!state.listening || width === 0) return
  if (setHeight(state) || width < COMPACT_BELOW_PX !== state.compact) return draw(state)
  if (width === state.gd._fullLayout?.width) return
  await state.plotly.Plots.resize(state.gd)
  repaint(state)
}

function unmount(parent, state) {
  state.closed = true
  clearTimeout(state.retry)
  cancelAnimationFrame(state.frame)
  state.observer.disconnect()
  window.removeEventListener("resize", state.resized)
  looks.states.delete(state)
  linked.delete(state)
  if (state.plotly) state.plotly.purge(state.gd)
  state.root.remove()
  charts.delete(parent)
}

async function update(state, bytes) {
  const sequence = ++state.sequence
  const message = await unpack(bytes)
  if (sequence !== state.sequence || state.closed) return
  if (state.message && state.message.figure.layout.uirevision !== message.figure.layout.uirevision) {
    Object.assign(state, { ranges: {}, follows: {}, cursor: undefined })
    clearBox(state)
  } else if (state.message && state.message.figure.layout.meta.unmark !== message.figure.layout.meta.unmark) {
    clearBox(state)
  }
  if (state.message && state.listening) slideRanges(state, message)
  state.message = message
  setHeight(state)
  state.read = panelsOf(message)
  describe(state)
  if (state.read.length) writeLook()
  window.uhPlotly ??= loadPlotly(message.figure.layout.meta.plotly_urls)
  state.plotly = await window.uhPlotly
  await draw(state)
}

export default function (component) {
  const { data, parentElement, setStateValue } = component
  let state = charts.get(parentElement)
  if (!state) charts.set(parentElement, (state = mount(parentElement)))
  state.setStateValue = setStateValue
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
