/* Small means that all pages share: elements made of text (never of markup), numbers and units, packed data. */
"use strict";
const gemforest = (() => {
  const waiting = new Map();
  const blocks = new Map();
  const SVG = "http://www.w3.org/2000/svg";

  /** An element. Children are elements or text; text stays text whatever it holds. */
  function el(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    set(made, attributes);
    made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    return made;
  }

  function svg(tag, attributes = {}, ...children) {
    const made = document.createElementNS(SVG, tag);
    set(made, attributes);
    made.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return made;
  }

  function set(made, attributes) {
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else made.setAttribute(name, value === true ? "" : String(value));
    }
  }

  /** A number for people: whole numbers with thin spaces, others with `digits` significant digits; noise is 0. */
  function fmt(value, digits = 3) {
    if (value === null || value === undefined || value === "") return "–";
    if (typeof value !== "number") return String(value);
    if (Number.isInteger(value)) return (Math.abs(value) < 10000 ? String(value) : value.toLocaleString("en").replaceAll(",", "\u202f")).replace("-", "−");
    const size = Math.abs(value);
    if (size < 1e-9) return "0";
    if (size >= 1e5 || size < 1e-3) return value.toExponential(digits - 1).replace("e+", "e").replaceAll("-", "−");
    return (size >= 1000 ? Math.round(value).toString() : value.toPrecision(digits)).replace("-", "−");
  }

  /** A number on an axis: no digits beyond those that say something. */
  function tick(value) {
    return typeof value !== "number" || Number.isInteger(value) ? fmt(value) : String(Number(value.toPrecision(3))).replaceAll("-", "−");
  }

  function percent(share, digits = 0) {
    return share === null || share === undefined || Number.isNaN(share) ? "–" : `${(100 * share).toFixed(digits)} %`;
  }

  /** Seconds in the largest fitting unit. */
  function duration(seconds) {
    if (seconds === null || seconds === undefined) return "–";
    if (seconds < 120) return `${fmt(seconds)} s`;
    if (seconds < 7200) return `${fmt(seconds / 60)} min`;
    return `${fmt(seconds / 3600)} h`;
  }

  /** `mmol gDW^-1 h^-1` with raised exponents. */
  function unit(text) {
    const raised = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³" };
    return (text || "").replace(/\^(-?\d)/g, (_, power) => [...power].map((c) => raised[c] || c).join(""));
  }

  function plural(count, one, many = `${one}s`) {
    return `${fmt(count)} ${count === 1 ? one : many}`;
  }

  function median(values) {
    const known = values.filter((v) => typeof v === "number").sort((a, b) => a - b);
    return known.length ? (known[(known.length - 1) >> 1] + known[known.length >> 1]) / 2 : null;
  }

  async function inflate(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  }

  /** Called by a sidecar script. */
  function receive(found) {
    for (const [key, text] of Object.entries(found)) blocks.set(key, text);
  }

  /** A block of data: from the page, or from the file beside it that holds it. */
  async function load(name, file) {
    const inPage = document.getElementById(`data:${name}`);
    if (inPage) return inflate(inPage.textContent);
    if (!blocks.has(name)) {
      if (!file) throw new Error(`${name} is not in this report`);
      if (!waiting.has(file)) {
        waiting.set(file, new Promise((resolve, reject) => {
          const script = document.createElement("script");
          script.src = file;
          script.onload = resolve;
          script.onerror = () => { waiting.delete(file); reject(new Error(`${file} is not beside this page: copy the whole folder report/`)); };
          document.head.append(script);
        }));
      }
      await waiting.get(file);
    }
    if (!blocks.has(name)) throw new Error(`${name} is not in ${file}`);
    return inflate(blocks.get(name));
  }

  function heading(title, text, attributes = {}) {
    return [el("h2", attributes, title), text ? el("p", { class: "lead wide" }, text) : null].filter(Boolean);
  }

  function tile(value, label, small = "", kind = "") {
    return el("div", { class: `tile ${kind}` }, el("b", {}, value), el("span", {}, label), small ? el("small", {}, small) : null);
  }

  function facts(pairs) {
    return el("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
      .flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  }

  function empty(text) {
    return el("p", { class: "empty" }, text);
  }

  function select(label, options, chosen, onchange) {
    const box = el("select", { onchange: () => onchange(box.value) }, options.map(([value, text]) => el("option", { value, selected: value === chosen }, text)));
    return el("label", { class: "field" }, label, box);
  }

  const hrefs = {
    genome: (id) => `#genome/${encodeURIComponent(id)}`,
    compare: (a, b) => `#compare/${encodeURIComponent(a)}/${encodeURIComponent(b)}`,
    /** A file of the results folder, from the folder report/. */
    file: (path) => `../${path.split("/").map(encodeURIComponent).join("/")}`,
  };

  return { el, svg, fmt, tick, percent, duration, unit, plural, median, receive, load, heading, tile, facts, empty, select, hrefs, views: {} };
})();
