// How heatmaps are coloured: hidden below an amount, and a scale from amounts to colours. One choice for all charts of
// the window, kept in the URL as `heat_min` and `heat_scale` (services/charts/look.py reads the same words).

const NO_DATA = 255
const LAST_CODE = 254
const SCALES = { log: "Log", linear: "Linear", percentile: "Percentile" }
const URL_DELAY_MS = 250

function readLook() {
  const query = new URLSearchParams(location.search)
  const least = {}
  for (const part of (query.get("heat_min") ?? "").split(",")) {
    const at = part.lastIndexOf(":")
    const usd = Number(part.slice(at + 1))
    if (usd > 0 && Number.isFinite(usd)) least[part.slice(0, Math.max(0, at)).trim() || "*"] = usd
  }
  const scale = query.get("heat_scale")
  return { least, scale: scale in SCALES ? scale : "log" }
}

const looks = (window.uhLook ??= { ...readLook(), states: new Set() })

function leastUsd(panel) {
  return looks.least[panel] ?? looks.least["*"] ?? 0
}

function setLook(change) {
  Object.assign(looks, change)
  for (const state of looks.states) repaintLook(state)
  clearTimeout(looks.timer)
  looks.timer = setTimeout(writeLook, URL_DELAY_MS)
}

function setLeast(panel, usd) {
  const least = { ...looks.least }
  if (usd > 0) least[panel] = Number(usd.toPrecision(3))
  else if ("*" in least) least[panel] = 0
  else delete least[panel]
  setLook({ least })
}

// The page may have been left for another one, whose address lacks the choice: it is written again then.
function writeLook() {
  const query = new URLSearchParams(location.search)
  const shown = Object.entries(looks.least).filter(([, usd]) => usd > 0)
  const words = shown.map(([panel, usd]) => (panel === "*" ? `${usd}` : `${panel}:${usd}`)).join(",")
  if (words) query.set("heat_min", words)
  else query.delete("heat_min")
  if (looks.scale === "log") query.delete("heat_scale")
  else query.set("heat_scale", looks.scale)
  const text = query.toString().replaceAll("%3A", ":").replaceAll("%2C", ",")
  const address = location.pathname + (text ? `?${text}` : "") + location.hash
  if (address !== location.pathname + location.search + location.hash) history.replaceState(history.state, "", address)
}

// ---- from codes to shares of the colour scale -----------------------------------------------------------------------
// Codes are logarithmic. `low` and `high` are those at which the colours begin and end, quantiles chosen by the server.

function usdOf(matrix, code) {
  if (code === NO_DATA) return NaN
  return code === 0 ? 0 : matrix.usd_min * matrix.usd_ratio ** (code - 1)
}

function codeOf(matrix, usd) {
  return Math.log(usd / matrix.usd_min) / Math.log(matrix.usd_ratio) + 1
}

// What share of the occupied cells holds each code or less.
function cumulatedShares(counts) {
  const shares = new Float64Array(256)
  let seen = 0
  for (let code = 1; code <= LAST_CODE; code++) shares[code] = seen += counts[code]
  return shares.map((n) => (seen ? n / seen : 0))
}

function shareOf(panel, code) {
  const { low, high } = panel.meta
  if (looks.scale === "linear") return Math.min(1, panel.matrix.usd_ratio ** (code - high))
  if (looks.scale === "log") return Math.min(1, Math.max(0, (code - low) / Math.max(1, high - low)))
  const below = Math.min(LAST_CODE, Math.max(0, Math.floor(code)))
  return panel.ranks[below] + (panel.ranks[Math.min(LAST_CODE, below + 1)] - panel.ranks[below]) * (code - below)
}

// The code at a share of the bar: the inverse of `shareOf` within half a code.
function codeAt(panel, share) {
  let best = 1
  for (let code = 1; code <= LAST_CODE; code += 0.5) {
    if (shareOf(panel, code) > share) break
    best = code
  }
  return best
}

// ---- colours ------------------------------------------------------------------------------------------------------------

function parseColour(text) {
  if (text[0] === "#") return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16)).concat(1)
  const parts = text.match(/[\d.]+/g).map(Number)
  return parts.length === 3 ? [...parts, 1] : parts
}

function over(colour, ground) {
  const alpha = colour[3]
  return [0, 1, 2].map((n) => Math.round(colour[n] * alpha + ground[n] * (1 - alpha))).concat(1)
}

// (256) colours of the display levels of a Plotly colour scale: 0 nothing, 255 no data, between them the ramp.
function levelColours(scale) {
  const stops = scale.map(([at, colour]) => [at * 255, parseColour(colour)])
  return Array.from({ length: 256 }, (_, level) => {
    const next = Math.max(1, stops.findIndex(([at]) => at >= level - 1e-9))
    const [[from, first], [to, last]] = [stops[next - 1], stops[next]]
    const share = to > from ? (level - from) / (to - from) : 1
    return first.map((part, n) => part + (last[n] - part) * share)
  })
}

function packed([red, green, blue]) {
  return (255 << 24) | (blue << 16) | (green << 8) | red
}

// Display level of a share: intensities run 1..254, longs 128..254 up, shorts 127..1 down.
function levelOf(panel, share, isShort) {
  if (!panel.isSigned) return Math.round(1 + share * 253)
  return isShort ? Math.round(127 - share * 126) : Math.round(128 + share * 126)
}

// Colour of every source code (see heat.js) on the ground of the plot, as the bytes of an image.
function colourTable(panel, ground) {
  const table = new Uint32Array(512).fill(packed(ground))
  const least = leastUsd(panel.name)
  const first = least > 0 ? codeOf(panel.matrix, least) - 1e-6 : 0
  for (let code = 1; code <= LAST_CODE; code++) {
    if (code < first) continue
    const share = shareOf(panel, code)
    table[code] = packed(over(panel.colours[levelOf(panel, share, false)], ground))
    if (panel.isSigned) table[SHORT + code] = packed(over(panel.colours[levelOf(panel, share, true)], ground))
  }
  table[NO_DATA] = packed(over(panel.colours[255], ground))
  return table
}
