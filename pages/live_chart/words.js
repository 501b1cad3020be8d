// Amounts, times and prices in words.

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
