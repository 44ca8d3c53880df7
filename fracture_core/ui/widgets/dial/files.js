/** Files handed to the reader. */

export function save(blob, name) {
  const link = document.createElement("a")
  link.href = URL.createObjectURL(blob)
  link.download = name.replace(/[^\w.-]+/g, "_")
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}

/** Rows of names and numbers; what is undefined is an empty field, and no cell begins a formula. */
export function saveCsv(rows, name) {
  const field = (value) => {
    if (typeof value === "number") return Number.isNaN(value) ? "" : String(value)
    const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
  }
  const text = rows.map((row) => row.map(field).join(",")).join("\r\n")
  save(new Blob([text, "\r\n"], { type: "text/csv" }), name)
}
