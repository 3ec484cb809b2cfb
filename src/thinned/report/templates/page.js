"use strict";
// The theme, the figures, the sorting and the copying. No network, no storage beyond the theme.
(() => {
  const root = document.documentElement;
  const specs = JSON.parse(document.getElementById("figures").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const said = document.getElementById("said");
  const PAPER = 650;  // pixels within a frame between the margins of A4; nothing resizes the figures for print
  let drawn = false;
  let onPaper = false;

  const remembered = () => { try { return localStorage.getItem("thinned-theme"); } catch { return null; } };
  const remember = (name) => { try { localStorage.setItem("thinned-theme", name); } catch { /* private window */ } };
  const setTheme = (name) => {
    root.dataset.theme = name;
    const button = document.querySelector("button.theme");
    if (button) button.textContent = name === "dark" ? "Light theme" : "Dark theme";
    if (drawn) drawAll();
  };

  // A figure names colours by role ("@validation"); the style sheet says which they are.
  const colour = (value) => {
    if (typeof value === "string" && value.startsWith("@")) {
      return getComputedStyle(root).getPropertyValue(`--${value.slice(1)}`).trim();
    }
    if (Array.isArray(value)) return value.map(colour);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, colour(each)]));
    }
    return value;
  };
  const visible = (layout) => {
    const base = colour({
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: "@text" },
      hoverlabel: { bgcolor: "@page", bordercolor: "@line", font: { color: "@text" } },
    });
    const size = onPaper ? { width: PAPER, height: layout.height ?? 270 } : {};
    const filled = { ...base, ...colour(layout), ...size };
    for (const key of Object.keys(filled)) {
      if (/^[xy]axis/.test(key)) {
        filled[key] = { ...colour({ gridcolor: "@line", linecolor: "@line", zerolinecolor: "@line" }), ...filled[key] };
      }
    }
    return filled;
  };
  const draw = (id) => {
    const place = document.getElementById(id);
    const spec = specs[id];
    if (spec.layout.height) place.style.minHeight = `${spec.layout.height}px`;  // a resized figure takes this place's
    return Plotly.react(place, colour(spec.data), visible(spec.layout), {
      responsive: true, displayModeBar: false, displaylogo: false, staticPlot: false, scrollZoom: false,
    }).then(() => { place.dataset.drawn = "yes"; place.querySelectorAll("svg").forEach((svg) => svg.setAttribute("aria-hidden", "true")); });
  };
  const drawAll = () => Promise.all(Object.keys(specs).map(draw));

  const unpack = async () => {
    const packed = document.getElementById("plotly").textContent.trim();
    const bytes = Uint8Array.from(atob(packed), (sign) => sign.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  };

  const number = (text) => Number(text.replace("\u2212", "-").replace(/[^\d.eE+-].*$/, ""));
  const sort = (table, column, rising) => {
    const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === "") || 0;
      const [m, n] = [number(x), number(y)];
      const order = Number.isNaN(m) || Number.isNaN(n) ? x.localeCompare(y, "en", { numeric: true }) : m - n;
      return rising ? order : -order;
    };
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort(compare));
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.matches(".theme")) {
      const name = root.dataset.theme === "dark" ? "light" : "dark";
      remember(name);
      setTheme(name);
    } else if (button.matches(".copy")) {
      await copy(button.previousElementSibling.textContent);
      said.textContent = button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    } else if (button.closest("th")) {
      const head = button.closest("th");
      const rising = head.getAttribute("aria-sort") !== "ascending";
      for (const each of head.parentElement.cells) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      sort(head.closest("table"), head.cellIndex, rising);
      said.textContent = `Sorted by ${button.textContent}, ${rising ? "rising" : "falling"}`;
    }
  });
  const copy = async (text) => {
    try { await navigator.clipboard.writeText(text); } catch {
      const area = document.createElement("textarea");  // a page opened from disk may not use the clipboard
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  };

  setTheme(remembered() ?? (dark.matches ? "dark" : "light"));
  dark.addEventListener("change", () => { if (!remembered()) setTheme(dark.matches ? "dark" : "light"); });
  let before = null;
  addEventListener("beforeprint", () => { before ??= root.dataset.theme; onPaper = true; setTheme("light"); });
  addEventListener("afterprint", () => { onPaper = false; if (before) setTheme(before); before = null; });

  unpack().then(() => { drawn = true; return drawAll(); }).then(() => { root.dataset.ready = "yes"; }).catch((error) => {
    for (const place of document.querySelectorAll(".plot")) {
      const told = document.createElement("p");
      told.className = "missing";
      told.textContent = `The figure could not be drawn (${error.message}). Its numbers are in the table below.`;
      place.replaceChildren(told);
    }
    root.dataset.ready = "no";
  });
})();
