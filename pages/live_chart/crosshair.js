// The crosshair: hairlines through every panel that shares an axis, labels on the axes, and a tip beside the cell.
// `state.cursor` is { xaxis, yaxis, x, y, by } in Plotly's counting; by a pointer it also keeps where the pointer rests.

function element(className, parent, tag = "div") {
  const made = Object.assign(document.createElement(tag), { className })
  parent?.append(made)
  return made
}

function subplotAt(state, x, y) {
  return subplotsOf(state.gd).find((subplot) => isInside(subplot, x, y))
}

function isWatched(state, subplot) {
  const layout = state.gd._fullLayout
  const groups = state.panels.map((panel) => groupOf(layout[axisName(panel.y)]))
  return groups.includes(groupOf(subplot.yaxis))
}

function pointAt(state, clientX, clientY) {
  const box = state.gd.getBoundingClientRect()
  return [clientX - box.left, clientY - box.top]
}

function movePointer(state, clientX, clientY) {
  if (!state.panels?.length || !state.gd._fullLayout?._plots) return
  const [x, y] = pointAt(state, clientX, clientY)
  const subplot = subplotAt(state, x, y)
  if (!subplot || !isWatched(state, subplot)) return leaveCross(state, "pointer")
  const { xaxis, yaxis } = subplot
  state.cursor = { xaxis: xaxis._id, yaxis: yaxis._id, x: toLinear(xaxis, x), y: toLinear(yaxis, y), by: "pointer", at: [x, y] }
  placeCross(state)
  shareCross(state)
}

function leaveCross(state, by) {
  if (by && state.cursor?.by !== by) return
  state.cursor = undefined
  placeCross(state)
  shareCross(state)
}

// Linked charts read the same time, and unless they share time only, the same price.
function shareCross(state) {
  const { cursor } = state
  const isTimeOnly = state.message?.figure.layout.meta.link?.startsWith("time:")
  const isTime = cursor && state.gd._fullLayout[axisName(cursor.xaxis)].type === "date"
  for (const peer of peersOf(state)) {
    if (!peer.panels.length || (peer.cursor && peer.cursor.by !== "peer")) continue
    const { x: xaxis, y: yaxis } = peer.panels[0]
    peer.cursor = cursor && { xaxis, yaxis, x: isTime ? cursor.x : NaN, y: isTimeOnly ? NaN : cursor.y, by: "peer" }
    placeCross(peer)
  }
}

// Under a resting pointer the data have moved: the place is the pointer's, not the old price.
function refreshed(state) {
  const { cursor } = state
  const layout = state.gd._fullLayout
  const [xaxis, yaxis] = [layout[axisName(cursor.xaxis)], layout[axisName(cursor.yaxis)]]
  if (!xaxis || !yaxis) return undefined
  if (cursor.by === "pointer") Object.assign(cursor, { x: toLinear(xaxis, cursor.at[0]), y: toLinear(yaxis, cursor.at[1]) })
  return { xaxis, yaxis, px: toPixel(xaxis, cursor.x), py: toPixel(yaxis, cursor.y) }
}

function hairlines(state, place) {
  const lines = []
  for (const { xaxis, yaxis } of subplotsOf(state.gd)) {
    const [left, top, width, height] = [xaxis._offset, yaxis._offset, xaxis._length, yaxis._length]
    const px = toPixel(xaxis, state.cursor.x)
    const py = toPixel(yaxis, state.cursor.y)
    const sharesTime = xaxis.type === "date" && groupOf(xaxis) === groupOf(place.xaxis)
    if (sharesTime && px >= left && px <= left + width) lines.push(["uh-line-v", px, top, 1, height])
    const sharesPrice = groupOf(yaxis) === groupOf(place.yaxis)
    if (sharesPrice && py >= top && py <= top + height) lines.push(["uh-line-h", left, py, width, 1])
  }
  return lines
}

function drawLines(state, lines) {
  while (state.lines.length < lines.length) state.lines.push(element("", state.over))
  state.lines.forEach((line, n) => {
    line.hidden = n >= lines.length
    if (line.hidden) return
    const [name, x, y, width, height] = lines[n]
    line.className = name
    line.style.cssText = `transform: translate(${Math.round(x)}px, ${Math.round(y)}px); width: ${width}px; height: ${height}px`
  })
}

function drawLabels(state, { xaxis, yaxis, px, py }) {
  const size = state.gd._fullLayout._size
  const decimals = state.message.figure.layout.meta.price_decimals ?? 2
  const { priceLabel, timeLabel } = state
  priceLabel.hidden = !(py >= yaxis._offset && py <= yaxis._offset + yaxis._length)
  if (!priceLabel.hidden) priceLabel.textContent = priceWords(valueOf(yaxis, state.cursor.y), decimals)
  priceLabel.style.transform = `translate(${Math.round(size.l + size.w)}px, ${Math.round(py - priceLabel.offsetHeight / 2)}px)`
  timeLabel.hidden = xaxis.type !== "date" || !(px >= xaxis._offset && px <= xaxis._offset + xaxis._length)
  if (timeLabel.hidden) return
  timeLabel.textContent = clock(instantOf(state.cursor.x), spanOf(xaxis)[1] - spanOf(xaxis)[0] > 864e5)
  const room = xaxis._offset + xaxis._length - timeLabel.offsetWidth
  const left = Math.max(xaxis._offset, Math.min(room, px - timeLabel.offsetWidth / 2))
  timeLabel.style.transform = `translate(${Math.round(left)}px, ${Math.round(yaxis._offset + yaxis._length + 2)}px)`
}

// The panel that is pointed at first, then those that share both its axes.
function readings(state, { xaxis, yaxis }) {
  const layout = state.gd._fullLayout
  const own = (panel) => panel.x === xaxis._id && panel.y === yaxis._id
  if (!state.panels.some(own)) return []
  const shares = (panel) =>
    groupOf(layout[axisName(panel.x)]) === groupOf(xaxis) && groupOf(layout[axisName(panel.y)]) === groupOf(yaxis)
  const chosen = state.panels.filter(shares).sort((a, b) => own(b) - own(a))
  const read = chosen.map((panel) => ({ panel, reading: measured(panel, layout) && readPanel(panel, state.cursor.x, state.cursor.y) }))
  return own(chosen[0]) && read[0].reading ? read.filter(({ reading }) => reading).map(({ reading }) => reading) : []
}

function cursorPrice(state, yaxis, reading) {
  return state.cursor.by === "keys" ? (reading.prices[0] + reading.prices[1]) / 2 : valueOf(yaxis, state.cursor.y)
}

// Beside the cell, on the side where there is room; it never covers the cell that it reads.
function placeTip(state, { px, py }, lines) {
  const { tip, root } = state
  tip.replaceChildren(...lines.map(({ text, kind }) => Object.assign(document.createElement("div"), { className: `uh-tip-${kind}`, textContent: text })))
  tip.hidden = false
  const [width, height] = [root.clientWidth, root.clientHeight]
  const gap = 16
  const right = px + gap + tip.offsetWidth <= width
  const left = right ? px + gap : px - gap - tip.offsetWidth
  const below = py + gap + tip.offsetHeight <= height
  const fits = left >= 0
  const top = below ? py + gap : py - gap - tip.offsetHeight
  const x = fits ? left : Math.max(0, Math.min(width - tip.offsetWidth, px - tip.offsetWidth / 2))
  tip.style.transform = `translate(${Math.round(x)}px, ${Math.round(Math.max(0, top))}px)`
}

function placeCross(state) {
  const place = state.cursor && refreshed(state)
  state.priceLabel.hidden = state.timeLabel.hidden = state.tip.hidden = !place
  if (!place) return drawLines(state, [])
  drawLines(state, hairlines(state, place))
  drawLabels(state, place)
  const read = readings(state, place)
  // Where a line or a circle tells of itself, the reading of the cell makes room.
  state.tip.hidden = !read.length || state.gd.querySelector(".hoverlayer > *") !== null
  if (!state.tip.hidden) {
    const decimals = state.message.figure.layout.meta.price_decimals ?? 2
    placeTip(state, place, tipLines(read, cursorPrice(state, place.yaxis, read[0]), decimals))
  }
}

function listenToPointer(state) {
  const { stage } = state
  stage.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "touch") movePointer(state, event.clientX, event.clientY)
  })
  stage.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && leaveCross(state, "pointer"))
  // A tap is a click without a pointer that moved before it.
  stage.addEventListener("click", (event) => movePointer(state, event.clientX, event.clientY), { capture: true })
}
