// Amounts, times and prices in words.

function usd(value) {
  const [unit, scale] = value >= 1e9 ? ["B", 1e9] : value >= 1e6 ? ["M", 1e6] : value >= 1e3 ? ["k", 1e3] : ["", 1]
  const digits = Number((value / scale).toPrecision(3)).toLocaleString("en-US", { maximumFractionDigits: 2 })
  return unit ? `${digits} ${unit} $` : `${digits} $`
}

// As short as a label on a colour bar: "25k".
function usdTick(value) {
  const [unit, scale] = value >= 1e9 ? ["B", 1e9] : value >= 1e6 ? ["M", 1e6] : value >= 1e3 ? ["k", 1e3] : ["", 1]
  return `${Number((value / scale).toPrecision(2))}${unit}`
}

function priceWords(price, decimals) {
  return price.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals })
}

function two(n) {
  return String(n).padStart(2, "0")
}

function clock(ms, withDate) {
  const date = new Date(ms)
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
  return withDate ? `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}` : time
}

function zoneName(ms) {
  const minutes = -new Date(ms).getTimezoneOffset()
  const sign = minutes < 0 ? "−" : "+"
  return minutes === 0 ? "UTC" : `UTC${sign}${two(Math.floor(Math.abs(minutes) / 60))}:${two(Math.abs(minutes) % 60)}`
}

// The visitor's wall clock, and UTC where that is another one.
function timeWords(ms) {
  const own = clock(ms, Date.now() - ms > 72e6)
  return zoneName(ms) === "UTC" ? `${own} UTC` : `${own}  ${new Date(ms).toISOString().slice(11, 19)} UTC`
}

function duration(ms) {
  return ms >= 60000 ? `${+(ms / 60000).toPrecision(3)} min` : `${+(ms / 1000).toPrecision(3)} s`
}

function distanceWords(bps) {
  const size = Math.abs(bps)
  const text = size >= 1000 ? `${(size / 100).toFixed(1)} %` : `${size >= 100 ? size.toFixed(0) : size.toFixed(1)} bps`
  return `${bps < 0 ? "−" : "+"}${text}`
}
