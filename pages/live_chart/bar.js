// The colour bar of each heatmap: what the colours mean under the chosen scale, a slider on it that hides what is below
// an amount, and the choice of scale. A slider's position is a place on the bar, so it hides what lies left of it.

const TICK_ROOM_PX = 34
const SLIDER_STEPS = 200

function makeBar(state, panel) {
  const root = element("uh-bar", state.root)
  const picture = element("uh-bar-colours", root, "canvas")
  const ticks = element("uh-bar-ticks", root)
  const slider = element("uh-bar-least", root, "input")
  Object.assign(slider, { type: "range", min: 0, max: SLIDER_STEPS, step: 1 })
  slider.setAttribute("aria-label", `Hide ${panel.name} cells below an amount`)
  const scale = element("uh-bar-scale", root, "select")
  scale.setAttribute("aria-label", `Colour scale of ${panel.name}`)
  for (const [value, text] of Object.entries(SCALES)) scale.append(Object.assign(element("", null, "option"), { value, textContent: text }))
  scale.title = "How amounts become colours: equal factors (log), equal amounts (linear), equal numbers of cells (percentile)"
  if (!state.bars.length) makeBoxButton(state, root)
  const bar = { root, picture, ticks, slider, scale, index: panel.index }
  slider.addEventListener("input", () => setLeast(panelOf(state, bar).name, usdAtSlider(panelOf(state, bar), slider.value)))
  scale.addEventListener("change", () => setLook({ scale: scale.value }))
  return bar
}

function panelOf(state, bar) {
  return state.panels.find((panel) => panel.index === bar.index)
}

function usdAtSlider(panel, position) {
  return position > 0 ? usdOf(panel.matrix, Math.max(1, codeAt(panel, position / SLIDER_STEPS))) : 0
}

function syncBars(state) {
  const wanted = state.panels.map((panel) => panel.index).join()
  if (state.bars.map((bar) => bar.index).join() === wanted) return
  for (const bar of state.bars) bar.root.remove()
  state.bars = []
  for (const panel of state.panels) state.bars.push(makeBar(state, panel))
}

// Where the server wants the bar: its right end, length and foot as shares of the plot.
function placeBars(state) {
  const size = state.gd._fullLayout._size
  for (const bar of state.bars) {
    const { x = 1, y = 1, len = 0.3 } = state.barPlaces[bar.index] ?? {}
    const width = Math.round(len * size.w)
    const right = Math.round(size.l + x * size.w)
    const foot = Math.round(size.t + (1 - y) * size.h)
    bar.root.style.cssText = `left: ${right - width}px; width: ${width}px; top: ${foot - 26}px`
    if (bar.width !== width) {
      bar.width = width
      fillBar(state, bar)
    }
  }
}

function fillBars(state) {
  for (const bar of state.bars ?? []) fillBar(state, bar)
}

// Round amounts along the bar from its upper end down, none nearer to the next than a label is wide.
function barTicks(panel, width) {
  const isRanked = looks.scale === "percentile"
  const highest = isRanked ? panel.ranks.findIndex((share) => share >= 1) : panel.meta.high
  const top = usdOf(panel.matrix, Math.max(1, highest))
  if (!panel.ranks[LAST_CODE]) return []
  const ticks = [{ share: 1, text: `${isRanked ? "" : "≥"}${usdTick(top)}` }]
  for (let power = Math.floor(Math.log10(top)); power >= 0; power--) {
    for (const digit of [5, 2, 1]) {
      const amount = digit * 10 ** power
      if (amount >= top) continue
      const share = shareOf(panel, codeOf(panel.matrix, amount))
      const room = ticks.length === 1 ? 1.35 * TICK_ROOM_PX : TICK_ROOM_PX
      if (share > 0 && (ticks.at(-1).share - share) * width >= room) ticks.push({ share, text: usdTick(amount) })
    }
  }
  return ticks
}

function fillBar(state, bar) {
  const panel = panelOf(state, bar)
  if (!panel || !bar.width) return
  const least = leastUsd(panel.name)
  const half = panel.isSigned ? bar.width / 2 : bar.width
  const start = bar.width - half
  bar.root.classList.toggle("uh-bar-signed", panel.isSigned)
  bar.scale.value = looks.scale
  const position = least > 0 ? Math.max(1, Math.round(SLIDER_STEPS * shareOf(panel, codeOf(panel.matrix, least)))) : 0
  if (document.activeElement !== bar.slider || usdAtSlider(panel, bar.slider.value).toPrecision(3) !== least.toPrecision(3)) bar.slider.value = position
  const words = least > 0 ? `below ${usd(least)} is hidden` : "nothing is hidden"
  bar.slider.setAttribute("aria-valuetext", words)
  bar.slider.title = `Drag to hide faint cells: ${words}`
  drawBar(bar.picture, panel, bar.width, least, Math.max(1, window.devicePixelRatio || 1))
  const labels = barTicks(panel, half).map(({ share, text }) => ({ at: start + share * half, text }))
  if (panel.isSigned && labels.length) labels.push({ at: 0, text: labels[0].text })
  if (least > 0) labels.unshift({ at: start + (position / SLIDER_STEPS) * half, text: `<${usdTick(least)}`, isLeast: true })
  const kept = labels.filter(({ at, isLeast }) => isLeast || least <= 0 || Math.abs(at - labels[0].at) >= TICK_ROOM_PX)
  bar.ticks.replaceChildren(
    ...kept.map(({ at, text, isLeast }) => {
      const label = element(isLeast ? "uh-bar-hidden" : "", null, "span")
      label.textContent = text
      label.style.left = `${Math.round(at)}px`
      if (at > bar.width - 12) label.style.translate = "-100%"
      else if (at < 12) label.style.translate = "0"
      return label
    })
  )
}

function drawBar(canvas, panel, width, least, scale) {
  Object.assign(canvas, { width: Math.round(width * scale), height: Math.round(7 * scale) })
  const context = canvas.getContext("2d")
  const first = least > 0 ? shareOf(panel, codeOf(panel.matrix, least)) : 0
  for (let x = 0; x < canvas.width; x++) {
    const across = (x + 0.5) / canvas.width
    const signed = 2 * across - 1
    const share = panel.isSigned ? Math.abs(signed) : across
    const [red, green, blue, alpha] = panel.colours[levelOf(panel, share, panel.isSigned && signed < 0)]
    context.fillStyle = `rgba(${red},${green},${blue},${share < first ? alpha * 0.15 : alpha})`
    context.fillRect(x, 0, 1, canvas.height)
  }
}
