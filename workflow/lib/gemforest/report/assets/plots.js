/* Plots: Observable Plot in our colours, redrawn when the width or the colours change; the heat map on a canvas. */
"use strict";
gemforest.plots = (() => {
  const { el, fmt, tick } = gemforest;
  const CATEGORIES = 8;
  const SYMBOLS = ["circle", "square", "triangle", "diamond", "star", "cross", "wye", "hexagon", "times"];
  const drawn = new Set();

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  }

  function category(index) {
    return colour(`c${index < CATEGORIES ? index : CATEGORIES}`);
  }

  /** A figure that draws itself when it comes into sight; `draw(width)` gives the plot or null. */
  function figure(title, text, draw, { height = 220 } = {}) {
    const place = el("div", { class: "plot", style: `min-height:${height}px` });
    const made = el("figure", { class: "card" }, el("figcaption", {}, el("h3", {}, title), text ? el("p", {}, text) : null), place);
    const entry = { place, draw, title, width: 0, seen: false };
    entry.observer = new IntersectionObserver((found) => {
      if (found.some((f) => f.isIntersecting)) { entry.seen = true; redraw(entry); }
    }, { rootMargin: "600px" });
    entry.observer.observe(place);
    new ResizeObserver(() => {
      if (entry.seen && Math.abs(place.clientWidth - entry.width) > 8) redraw(entry);
    }).observe(place);
    drawn.add(entry);
    made.redraw = () => { if (entry.seen) redraw(entry); };
    return made;
  }

  function redraw(entry) {
    const { place } = entry;
    if (!place.isConnected || !place.clientWidth) return;
    entry.width = place.clientWidth;
    const plot = entry.draw(place.clientWidth);
    place.replaceChildren(plot || gemforest.empty("No values to draw."));
    place.style.minHeight = "0";
    for (const image of place.querySelectorAll("svg")) describe(image, entry.title);
  }

  /** One name for the whole picture; its inner parts need none. */
  function describe(image, title) {
    for (const part of image.querySelectorAll("[aria-label]")) if (part !== image) part.removeAttribute("aria-label");
    if (!image.closest("[role=img]")) { image.setAttribute("role", "img"); image.setAttribute("aria-label", image.getAttribute("aria-label") || title); }
  }

  function redrawAll() {
    for (const entry of [...drawn]) {
      if (!entry.place.isConnected) continue;
      entry.width = 0;
      if (entry.seen) redraw(entry);
    }
  }

  function base(width, more) {
    return { width, style: { background: "none", overflow: "visible" }, marginBottom: 38, ...more };
  }

  function histogram(values, { label, unit = "", width, height = 170 }) {
    const known = values.filter((v) => typeof v === "number" && Number.isFinite(v));
    if (!known.length) return null;
    const middle = d3.median(known);
    const [least, most] = d3.extent(known);
    const same = least === most;
    const steps = known.every(Number.isInteger) && most - least <= 30 ? d3.range(least - 0.5, most + 1) : Math.min(30, Math.max(6, Math.ceil(Math.sqrt(known.length) * 2)));
    return Plot.plot(base(width, {
      height,
      marginLeft: 38,
      x: { label: unit ? `${label}, ${unit}` : label, labelAnchor: "center", labelArrow: "none", tickFormat: tick, ticks: 5, ...(same ? { domain: [known[0] - 1, known[0] + 1] } : {}) },
      y: { label: "genomes", grid: true, ticks: 4, tickFormat: (v) => (Number.isInteger(v) ? tick(v) : ""), labelArrow: "none" },
      marks: [
        Plot.rectY(known, Plot.binX({ y: "count" }, { x: (d) => d, thresholds: steps, fill: colour("accent"), fillOpacity: 0.75, inset: 0.5 })),
        Plot.ruleY([0]),
        Plot.ruleX([middle], { stroke: colour("c1"), strokeWidth: 2 }),
        Plot.text([middle], { x: (d) => d, text: (d) => `median ${fmt(d)}`, frameAnchor: "top", dy: -9, fill: "currentColor", fontSize: 10.5 }),
      ],
      marginTop: 22,
    }));
  }

  /** Horizontal bars: rows of {name, value, title}. */
  function bars(rows, { label, width, fill = "accent", format = fmt, most = 25, left = null }) {
    if (!rows.length) return null;
    const shown = rows.slice(0, most);
    const longest = d3.max(shown, (d) => d.name.length);
    return Plot.plot(base(width, {
      height: 46 + shown.length * 22,
      marginLeft: left || Math.min(width * 0.45, 24 + longest * 6.6),
      marginRight: 48,
      x: { label, labelAnchor: "center", labelArrow: "none", grid: true, ticks: 4, tickFormat: format },
      y: { label: null, domain: shown.map((d) => d.name), tickFormat: (name) => (name.length * 6.6 > width * 0.45 ? `${name.slice(0, Math.floor((width * 0.45) / 6.6))}…` : name) },
      marks: [
        Plot.barX(shown, { x: "value", y: "name", fill: colour(fill), fillOpacity: 0.8, rx: 2, title: (d) => d.title || `${d.name}: ${format(d.value)}` }),
        Plot.text(shown, { x: "value", y: "name", text: (d) => format(d.value), dx: 5, textAnchor: "start", fill: "currentColor", fontSize: 11 }),
        Plot.ruleX([0]),
      ],
    }));
  }

  /** Points of genomes; `groups` gives level names, `codes` the level of each genome. */
  function scatter(points, { xLabel, yLabel, levels, width, onpick }) {
    const used = [...new Set(points.map((p) => p.code))].sort((a, b) => a - b);
    const few = points.length <= 25;
    const plot = Plot.plot(base(width, {
      height: Math.min(560, Math.max(320, width * 0.6)),
      marginLeft: 48,
      inset: 14,
      x: { label: xLabel, labelAnchor: "center", labelArrow: "none", grid: true, nice: true },
      y: { label: yLabel, grid: true, nice: true, labelArrow: "none" },
      color: { type: "categorical", domain: used, range: used.map(category) },
      symbol: { type: "categorical", domain: used, range: used.map((c) => SYMBOLS[Math.min(c, SYMBOLS.length - 1)]) },
      marks: [
        Plot.dot(points, { x: "x", y: "y", fill: "code", symbol: "code", r: few ? 6 : points.length > 2000 ? 2 : 3.5, fillOpacity: few ? 1 : 0.7 }),
        few ? Plot.text(points, { x: "x", y: "y", text: "name", dy: -13, fontSize: 11, fill: "currentColor", stroke: colour("card"), strokeWidth: 3 }) : null,
        Plot.tip(points, Plot.pointer({ x: "x", y: "y", title: (d) => `${d.name}\n${levels[d.code] ?? "not stated"}`, fill: colour("card") })),
      ],
    }));
    plot.addEventListener("click", () => { if (plot.value) onpick(plot.value); });
    return plot;
  }

  function legend(levels, counts, most = CATEGORIES) {
    const shown = levels.slice(0, most).map((name, i) => [name, category(i), counts[i]]);
    const rest = d3.sum(counts.slice(most));
    if (rest) shown.push([`${levels.length - most} others`, category(CATEGORIES), rest]);
    return el("ul", { class: "legend" }, shown.map(([name, tint, n]) => el("li", {}, el("i", { style: `background:${tint}` }), `${name} (${fmt(n)})`)));
  }

  function lines(series, { xLabel, yLabel, width, height = 260, log = false }) {
    const flat = series.flatMap((s) => s.points.map(([x, y]) => ({ x, y, name: s.name })));
    if (!flat.length) return null;
    return Plot.plot(base(width, {
      height,
      marginLeft: 52,
      marginRight: 12,
      x: { label: xLabel, labelAnchor: "center", labelArrow: "none", type: log ? "log" : "linear", tickFormat: tick, ...(log ? { ticks: 6 } : {}) },
      y: { label: yLabel, grid: true, labelArrow: "none", zero: true, tickFormat: tick },
      color: { domain: series.map((s) => s.name), range: series.map((s, i) => colour(s.colour || `c${i}`)), legend: series.length > 1 },
      marks: [
        Plot.lineY(flat, { x: "x", y: "y", stroke: "name", strokeWidth: 2.5 }),
        flat.length < 30 ? Plot.dot(flat, { x: "x", y: "y", fill: "name", r: 3 }) : null,
        Plot.tip(flat, Plot.pointerX({ x: "x", y: "y", title: (d) => `${d.name}: ${fmt(d.y)} at ${fmt(d.x)}`, fill: colour("card") })),
      ],
    }));
  }

  /** A strip of shares that add up: parts {name, value, colour}. */
  function strip(parts, { width, label }) {
    const shown = parts.filter((p) => p.value > 0);
    if (!shown.length) return null;
    return Plot.plot(base(width, {
      height: 78,
      marginLeft: 8,
      marginRight: 16,
      marginTop: 4,
      x: { label, labelAnchor: "center", labelArrow: "none", tickFormat: tick, ticks: 5 },
      y: { axis: null },
      marks: [Plot.barX(shown, Plot.stackX({ x: "value", fill: (d) => colour(d.colour), y: () => 0, title: (d) => `${d.name}: ${fmt(d.value)}`, insetLeft: 1, order: null }))],
    }));
  }

  function stripLegend(parts) {
    const total = d3.sum(parts, (p) => p.value);
    return el("ul", { class: "legend" }, parts.filter((p) => p.value > 0).map((p) => el("li", {}, el("i", { style: `background:var(--${p.colour})` }), `${p.name}: ${fmt(p.value)} (${gemforest.percent(p.value / total)})`)));
  }

  /** Share of genomes by group and reaction. */
  function shares(cells, { width, rows, columns }) {
    const left = Math.min(220, 20 + 6.6 * d3.max(rows, (r) => r.length));
    const size = Math.max(11, Math.min(30, (width - left - 10) / columns.length));
    return Plot.plot({
      width: Math.max(width, left + columns.length * size + 20),
      height: 30 + rows.length * 20 + 90,
      marginLeft: left,
      marginBottom: 92,
      marginTop: 6,
      marginRight: 10,
      style: { background: "none", overflow: "visible" },
      x: { domain: columns, label: null, tickRotate: -60 },
      y: { domain: rows, label: null },
      color: { type: "linear", domain: [0, 1], range: [colour("heat0"), colour("heat1")], interpolate: "lab" },
      marks: [Plot.cell(cells, { x: "column", y: "row", fill: "share", inset: 0.5, rx: 2, title: (d) => d.title })],
    });
  }

  /**
   * Genomes × compounds on a canvas. Where there are more genomes than lines, a line is the mean of neighbours.
   * rows: {name, letters}; columns: names
   */
  function heat({ rows, columns, names, width, onpick }) {
    const labelled = rows.length <= 60;
    const left = labelled ? Math.min(width * 0.34, 14 + 6.4 * d3.max(rows, (r) => r.name.length)) : 10;
    const top = 112;
    const cell = Math.max(labelled ? 13 : 9, Math.min(26, (width - left - 64) / columns.length));
    const lines = labelled ? rows.length : Math.min(rows.length, 620);
    const line = labelled ? 18 : Math.max(1, Math.floor(620 / lines));
    const w = Math.ceil(left + columns.length * cell + 62);
    const h = top + lines * line + 2;
    const ratio = window.devicePixelRatio || 1;
    const canvas = el("canvas", { role: "img", "aria-label": `Growth of ${rows.length} genomes on ${columns.length} compounds; the same answers stand in the table of each genome`, style: `width:${w}px;height:${h}px` });
    canvas.width = w * ratio;
    canvas.height = h * ratio;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = "11px system-ui, sans-serif";
    const mix = d3.interpolateLab(colour("heat0"), colour("heat1"));
    const never = colour("never");
    const line0 = (i) => Math.floor((i * rows.length) / lines);
    const share = [];
    for (let i = 0; i < lines; i += 1) {
      const members = rows.slice(line0(i), line0(i + 1));
      const found = columns.map((_, j) => {
        let yes = 0, no = 0, out = 0;
        for (const row of members) { const c = row.letters[j]; if (c === "+") yes += 1; else if (c === "-") no += 1; else out += 1; }
        return { yes, no, out };
      });
      share.push(found);
      found.forEach((f, j) => {
        const all = f.yes + f.no + f.out;
        pen.fillStyle = f.out === all ? never : mix(f.yes / all);
        pen.fillRect(left + j * cell + (labelled ? 0.5 : 0), top + i * line + (labelled ? 0.5 : 0), cell - (labelled ? 1 : 0), line - (labelled ? 1 : 0));
        if (labelled && f.out === all) { pen.fillStyle = colour("idle"); pen.fillRect(left + j * cell + cell / 2 - 1.5, top + i * line + line / 2 - 0.5, 3, 1); }
      });
    }
    pen.fillStyle = colour("ink");
    pen.textBaseline = "middle";
    if (labelled) {
      pen.textAlign = "right";
      rows.forEach((row, i) => pen.fillText(fit(pen, row.name, left - 10), left - 6, top + i * line + line / 2));
    }
    pen.textAlign = "left";
    const every = Math.ceil(11 / cell);
    columns.forEach((name, j) => {
      if (j % every) return;
      pen.save();
      pen.translate(left + j * cell + cell / 2, top - 5);
      pen.rotate(-Math.PI / 3);
      pen.fillText(fit(pen, names[name] || name, 118), 0, 0);
      pen.restore();
    });
    const tip = el("div", { class: "tip", hidden: true });
    const box = el("div", { class: "heat", tabindex: "0", role: "group", "aria-label": "genomes by compounds" }, canvas, tip);
    const at = (event) => {
      const j = Math.floor((event.offsetX - left) / cell), i = Math.floor((event.offsetY - top) / line);
      return i >= 0 && i < lines && j >= 0 && j < columns.length ? [i, j] : null;
    };
    canvas.addEventListener("mousemove", (event) => {
      const found = at(event);
      tip.hidden = !found;
      if (!found) return;
      const [i, j] = found, f = share[i][j], first = rows[line0(i)], n = line0(i + 1) - line0(i);
      const answer = n === 1 ? { "+": "grows", "-": "does not grow", ".": "no transport in the model", "?": "undecided", " ": "no answer" }[first.letters[j]] : `${f.yes} of ${n} grow`;
      tip.textContent = `${names[columns[j]] || columns[j]}: ${n === 1 ? first.name : `${first.name} and ${n - 1} more`} – ${answer}`;
      tip.style.left = `${Math.min(event.offsetX + 14, w - 200)}px`;
      tip.style.top = `${event.offsetY + 14}px`;
    });
    canvas.addEventListener("mouseleave", () => { tip.hidden = true; });
    canvas.addEventListener("click", (event) => { const found = at(event); if (found) onpick(rows[line0(found[0])]); });
    return box;
  }

  function fit(pen, text, room) {
    if (pen.measureText(text).width <= room) return text;
    let short = text;
    while (short.length > 3 && pen.measureText(`${short}…`).width > room) short = short.slice(0, -1);
    return `${short}…`;
  }

  return { colour, category, figure, redrawAll, histogram, bars, scatter, legend, lines, strip, stripLegend, shares, heat, CATEGORIES };
})();
