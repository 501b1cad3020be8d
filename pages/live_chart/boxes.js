// A box on a heatmap (Shift and drag, the box tool, or Space twice by keyboard): it stays where it is in time and price,
// and Python is told of it. `state.box` is { panel, x: [from, to], y: [low, high] } in Plotly's counting.

const LEAST_BOX_PX = 4
const boxes = (window.uhBoxes ??= new Map())

function boxKey({ message }) {
  return `${message.revision.split("/")[0]}/${message.figure.layout.uirevision}`
}

// A chart that was taken away and came back (another page, a moment without data) has its box again, and Python knows.
function restoreBox(state) {
  const kept = boxes.get(boxKey(state))
  if (!kept || !state.panels.some((panel) => panel.name === kept.panel)) return
  state.box = kept
  tellBox(state)
}

function panelAxes(state, panel) {
  const layout = state.gd._fullLayout
  return { xaxis: layout[axisName(panel.x)], yaxis: layout[axisName(panel.y)] }
}

function panelAt(state, x, y) {
  return state.panels?.find((panel) => isInside(panelAxes(state, panel), x, y))
}

function placeBox(state) {
  const { box, boxNode } = state
  const panel = box && state.panels.find((each) => each.name === box.panel)
  boxNode.hidden = !panel
  if (!panel) return
  const { xaxis, yaxis } = panelAxes(state, panel)
  const inside = (axis, linear) => Math.max(axis._offset, Math.min(axis._offset + axis._length, toPixel(axis, linear)))
  const [left, right] = box.x.map((x) => inside(xaxis, x))
  const [bottom, top] = box.y.map((y) => inside(yaxis, y))
  boxNode.style.cssText = `transform: translate(${left}px, ${top}px); width: ${right - left}px; height: ${bottom - top}px`
  boxNode.hidden = right - left < 1 || bottom - top < 1
}

function boxBetween(state, panel, [x0, y0], [x1, y1]) {
  const { xaxis, yaxis } = panelAxes(state, panel)
  const within = (axis, pixel) => toLinear(axis, Math.max(axis._offset, Math.min(axis._offset + axis._length, pixel)))
  const rising = (a, b) => (a <= b ? [a, b] : [b, a])
  return { panel: panel.name, x: rising(within(xaxis, x0), within(xaxis, x1)), y: rising(within(yaxis, y0), within(yaxis, y1)) }
}

function tellBox(state) {
  const { box } = state
  if (box) boxes.set(boxKey(state), box)
  else boxes.delete(boxKey(state))
  if (!box) return state.setStateValue("selection", null)
  const panel = state.panels.find((each) => each.name === box.panel)
  const { yaxis } = panelAxes(state, panel)
  const [start, end] = box.x.map((x) => Math.round(instantOf(x) * 1000))
  const [low, high] = box.y.map((y) => valueOf(yaxis, y))
  state.setStateValue("selection", { panel: box.panel, start_us: start, end_us: end, price_low: low, price_high: high })
  say(state, `Box from ${clock(start / 1000)} to ${clock(end / 1000)}, ${priceWords(low, 2)} to ${priceWords(high, 2)}`)
}

function clearBox(state) {
  state.corner = undefined
  if (!state.box) return
  state.box = undefined
  placeBox(state)
  tellBox(state)
}

function startBox(state, event) {
  const isWanted = event.shiftKey || state.isBoxing
  if (!isWanted || event.button > 0 || !state.listening) return
  const from = pointAt(state, event.clientX, event.clientY)
  const panel = panelAt(state, ...from)
  if (!panel) return
  event.preventDefault()
  event.stopPropagation()
  state.boxPointer = event.pointerId
  const before = state.box
  const move = (next) => {
    if (next.pointerId !== event.pointerId) return
    state.box = boxBetween(state, panel, from, pointAt(state, next.clientX, next.clientY))
    placeBox(state)
  }
  const end = (last) => {
    if (last.pointerId !== event.pointerId) return
    for (const [name, listener] of [["pointermove", move], ["pointerup", end], ["pointercancel", end]]) removeEventListener(name, listener)
    state.boxPointer = undefined
    const to = pointAt(state, last.clientX, last.clientY)
    const isLarge = Math.abs(to[0] - from[0]) >= LEAST_BOX_PX && Math.abs(to[1] - from[1]) >= LEAST_BOX_PX
    if (last.type === "pointerup" && isLarge) tellBox(state)
    else state.box = before
    placeBox(state)
  }
  for (const [name, listener] of [["pointermove", move], ["pointerup", end], ["pointercancel", end]]) addEventListener(name, listener)
}

function makeBoxButton(state, parent) {
  state.boxButton = element("uh-box-button", parent, "button")
  Object.assign(state.boxButton, { type: "button", title: "Mark a box for its statistics (Shift and drag)" })
  state.boxButton.setAttribute("aria-label", "Mark a box")
  state.boxButton.setAttribute("aria-pressed", String(Boolean(state.isBoxing)))
  state.boxButton.addEventListener("click", () => toggleBoxTool(state))
}

function toggleBoxTool(state) {
  state.isBoxing = !state.isBoxing
  state.stage.classList.toggle("uh-boxing", state.isBoxing)
  state.boxButton.setAttribute("aria-pressed", String(state.isBoxing))
}

function listenForBoxes(state) {
  const { stage } = state
  stage.addEventListener("pointerdown", (event) => startBox(state, event), { capture: true })
  // Plotly listens for these two; while a box is drawn it must not begin a zoom.
  for (const name of ["mousedown", "touchstart"]) {
    const swallow = (event) => {
      if (state.boxPointer === undefined) return
      event.stopPropagation()
      if (event.cancelable) event.preventDefault()
    }
    stage.addEventListener(name, swallow, { capture: true, passive: false })
  }
}
