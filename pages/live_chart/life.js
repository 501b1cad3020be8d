// Mounting, resizing, updating and leaving; the last of the files, and the only one that exports.
// The DOM node, the zoom and the pan outlive every refresh; a new `uirevision` or a double click resets the view.

const charts = new WeakMap()

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
