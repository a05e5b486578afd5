/* Central carbon metabolism as SVG: where the metabolites stand, which reactions join them, and their fluxes. */
"use strict";
gemforest.map = (() => {
  const { svg, fmt } = gemforest;
  const SIZE = [990, 836];
  const NOISE = 1e-6;
  // every phosphotransferase turns PEP into pyruvate, whatever it brings in
  const PTS = /(pts|ptspp)$|^DHAPT$/;

  // metabolite: x, y, label
  const NODES = {
    glc: [320, 26, "glucose"], g6p: [320, 96, "glucose 6-P"], f6p: [320, 166, "fructose 6-P"], fdp: [320, 246, "fructose 1,6-bisP"],
    g3p: [320, 326, "glyceraldehyde 3-P"], dha: [90, 166, "dihydroxyacetone"], dhap: [90, 246, "dihydroxyacetone P"], bpg: [320, 396, "1,3-bisP-glycerate"],
    pg3: [320, 456, "3-P-glycerate"], pg2: [320, 516, "2-P-glycerate"], pep: [320, 576, "PEP"], pyr: [320, 676, "pyruvate"], lac: [90, 676, "lactate"],
    pgl: [530, 96, "6-P-gluconolactone"], pgc: [740, 96, "6-P-gluconate"], gln: [740, 26, "gluconate"], ru5p: [740, 166, "ribulose 5-P"], r5p: [850, 246, "ribose 5-P"],
    xu5p: [650, 246, "xylulose 5-P"], s7p: [820, 336, "sedoheptulose 7-P"], e4p: [590, 336, "erythrose 4-P"], kdpg: [540, 176, "KDPG"],
    accoa: [480, 546, "acetyl-CoA"], actp: [440, 466, "acetyl-P"], ac: [440, 396, "acetate"], acald: [580, 466, "acetaldehyde"], etoh: [580, 396, "ethanol"],
    oaa: [530, 660, "oxaloacetate"], cit: [640, 546, "citrate"], icit: [800, 576, "isocitrate"], akg: [850, 660, "2-oxoglutarate"],
    sucoa: [820, 746, "succinyl-CoA"], succ: [690, 806, "succinate"], fum: [530, 806, "fumarate"], mal: [430, 746, "malate"], glx: [690, 676, "glyoxylate"],
  };

  // from, to, reactions with the sign of their BiGG direction along the arrow, {bend, at: place of the label, also}
  const EDGES = [
    ["glc", "g6p", { GLCptspp: 1, GLCpts: 1, HEX1: 1 }],
    ["g6p", "f6p", { PGI: 1 }],
    ["f6p", "fdp", { PFK: 1, PFK_ppi: 1, PFK_adp: 1, FBP: -1 }],
    ["fdp", "g3p", { FBA: 1 }],
    ["fdp", "dhap", { FBA: 1 }],
    ["f6p", "dha", { F6PA: 1 }],
    ["f6p", "g3p", { F6PA: 1 }, { bend: -190, at: 0.72 }],
    ["dha", "dhap", { DHAPT: 1, DHAK: 1 }],
    ["dhap", "g3p", { TPI: 1 }],
    ["g3p", "bpg", { GAPD: 1, GAPD_1: 1 }],
    ["bpg", "pg3", { PGK: -1 }],
    ["g3p", "pg3", { GAPDi_nadp: 1 }, { bend: -150 }],
    ["pg3", "pg2", { PGM: -1 }],
    ["pg2", "pep", { ENO: 1 }],
    ["pep", "pyr", { PYK: 1, PYK2: 1, PYK3: 1, PYK4: 1, PYK6: 1, PPS: -1, PPDK: -1 }, { also: PTS, at: 0.35 }],
    ["pyr", "lac", { LDH_D: -1, LDH_L: -1, L_LACD2: -1, L_LACD3: -1, LDH_D2: -1 }],
    ["g6p", "pgl", { G6PDH2r: 1, G6PDH2: 1, G6PDHy: 1 }],
    ["pgl", "pgc", { PGL: 1 }],
    ["gln", "pgc", { GNK: 1 }],
    ["pgc", "ru5p", { GND: 1, PGDHr: 1 }],
    ["pgc", "kdpg", { EDD: 1 }],
    ["kdpg", "g3p", { EDA: 1 }, { at: 0.32, note: "and pyruvate" }],
    ["ru5p", "r5p", { RPI: -1 }],
    ["ru5p", "xu5p", { RPE: 1 }],
    ["r5p", "s7p", { TKT1: 1 }],
    ["xu5p", "s7p", { TKT1: 1 }],
    ["s7p", "e4p", { TALA: 1 }],
    ["e4p", "f6p", { TKT2: 1 }, { bend: 14, at: 0.3 }],
    ["pyr", "accoa", { PDH: 1, PFL: 1, POR5: 1, POR_syn: 1, PDHr: 1 }, { at: 0.24 }],
    ["accoa", "actp", { PTAr: 1 }],
    ["actp", "ac", { ACKr: -1 }],
    ["accoa", "ac", { ACS: -1, ACS2: -1 }, { bend: 90 }],
    ["accoa", "acald", { ACALD: -1 }],
    ["acald", "etoh", { ALCD2x: -1, ALCD2y: -1, ALCD2ir: 1 }],
    ["pep", "oaa", { PPC: 1, PPCK: -1 }, { bend: 30, at: 0.66 }],
    ["pyr", "oaa", { PC: 1, OAADC: -1 }],
    ["mal", "pyr", { ME1: 1, ME2: 1 }],
    ["accoa", "cit", { CS: 1 }],
    ["oaa", "cit", { CS: 1 }],
    ["cit", "icit", { ACONTb: 1, ACONT: 1 }],
    ["icit", "akg", { ICDHyr: 1, ICDHx: 1 }],
    ["akg", "sucoa", { AKGDH: 1, OOR2r: 1, OOR3r: 1, AKGDa: 1 }],
    ["sucoa", "succ", { SUCOAS: -1 }],
    ["succ", "fum", { SUCDi: 1, SUCD1: 1, SUCD4: 1, FRD2: -1, FRD3: -1, FRD7: -1 }],
    ["fum", "mal", { FUM: 1 }],
    ["mal", "oaa", { MDH: 1, MDH2: 1, MDH3: 1, DMALRED: 1 }, { at: 0.42 }],
    ["icit", "glx", { ICL: 1 }],
    ["glx", "mal", { MALS: 1 }, { at: 0.2 }],
  ];

  /** Where the straight line from a node's middle leaves its label. */
  function clear([x, y, label], towardX, towardY) {
    const halfWidth = label.length * 3.6 + 6, halfHeight = 12;
    const dx = towardX - x, dy = towardY - y;
    const scale = 1 / Math.max(Math.abs(dx) / halfWidth, Math.abs(dy) / halfHeight);
    return [x + dx * Math.min(1, scale), y + dy * Math.min(1, scale)];
  }

  /** The sum of an edge's fluxes along its arrow; null where the model has none of its reactions. */
  function edgeFlux(signs, also, held, fluxes) {
    const known = also ? { ...Object.fromEntries([...held].filter((r) => also.test(r)).map((r) => [r, 1])), ...signs } : signs;
    const own = Object.keys(known).filter((r) => held.has(r));
    if (!own.length) return null;
    const running = own.filter((r) => Math.abs(fluxes.get(r) || 0) > NOISE);
    return { flux: running.reduce((sum, r) => sum + known[r] * fluxes.get(r), 0), own, running };
  }

  /** `held`: set of reactions of the model; `fluxes`: reaction to flux. */
  function draw(held, fluxes, label) {
    const found = EDGES.map(([from, to, signs, more = {}]) => ({ from, to, more, state: edgeFlux(signs, more.also, held, fluxes), names: Object.keys(signs) }));
    const most = Math.max(NOISE, ...found.map((e) => Math.abs(e.state?.flux || 0)));
    const image = svg("svg", { viewBox: `0 0 ${SIZE[0]} ${SIZE[1]}`, role: "img", "aria-label": label });
    const lines = svg("g", { fill: "none", "stroke-linecap": "round" }), arrows = svg("g"), texts = svg("g");
    for (const edge of found) drawEdge(edge, most, lines, arrows, texts);
    const nodes = svg("g", {}, Object.values(NODES).map(([x, y, text]) => svg("text", { class: "node", x, y }, text)));
    image.append(lines, arrows, texts, nodes);
    return image;
  }

  function drawEdge({ from, to, more, state, names }, most, lines, arrows, texts) {
    const a = NODES[from], b = NODES[to], bend = more.bend || 0;
    const length = Math.hypot(b[0] - a[0], b[1] - a[1]);
    const normal = [-(b[1] - a[1]) / length, (b[0] - a[0]) / length];
    const control = [(a[0] + b[0]) / 2 - normal[0] * bend, (a[1] + b[1]) / 2 - normal[1] * bend];
    const start = clear(a, ...control), end = clear(b, ...control);
    const flux = state ? state.flux : 0, running = Math.abs(flux) > NOISE;
    const width = running ? 1.6 + 7.4 * Math.sqrt(Math.abs(flux) / most) : 1.4;
    const tint = running ? "var(--accent)" : "var(--idle)";
    const what = state ? (running ? `${state.running.join(", ")}: ${fmt(Math.abs(flux))} mmol gDW⁻¹ h⁻¹` : `${state.own.join(", ")}: no flux`) : `not in the model: ${names.join(", ")}`;
    const head = running ? Math.max(7, width * 1.5) : 0;
    const tip = flux >= 0 ? end : start;
    const away = [tip[0] - control[0], tip[1] - control[1]];
    const size = Math.hypot(...away) || 1;
    const along = [away[0] / size, away[1] / size];
    const base = [tip[0] - along[0] * head, tip[1] - along[1] * head];
    const [p, q] = flux >= 0 ? [start, base] : [base, end];
    lines.append(svg("path", { d: `M${p} Q${control} ${q}`, stroke: tint, "stroke-width": width.toFixed(2), "stroke-dasharray": state ? null : "1 6", "stroke-linecap": running ? "butt" : "round" }, svg("title", {}, what)));
    if (!running) return;
    const side = [-along[1] * head * 0.62, along[0] * head * 0.62];
    arrows.append(svg("polygon", { points: `${tip} ${[base[0] + side[0], base[1] + side[1]]} ${[base[0] - side[0], base[1] - side[1]]}`, fill: tint }, svg("title", {}, what)));
    label(start, control, end, width, `${state.running.slice(0, 2).join("+")}${state.running.length > 2 ? "…" : ""} ${fmt(Math.abs(flux))}${more.note ? ` ${more.note}` : ""}`, more.at || 0.5, texts);
  }

  /** The edge's text beside the curve, on its right or above it. */
  function label(start, control, end, width, text, t, texts) {
    const point = [0, 1].map((i) => (1 - t) ** 2 * start[i] + 2 * t * (1 - t) * control[i] + t ** 2 * end[i]);
    const slope = [0, 1].map((i) => 2 * (1 - t) * (control[i] - start[i]) + 2 * t * (end[i] - control[i]));
    const size = Math.hypot(...slope) || 1;
    let normal = [-slope[1] / size, slope[0] / size];
    if (Math.abs(normal[0]) > 0.35 ? normal[0] < 0 : normal[1] > 0) normal = normal.map((v) => -v);
    const anchor = Math.abs(normal[0]) > 0.35 ? "start" : "middle";
    const far = width / 2 + (anchor === "start" ? 4 : 9);
    texts.append(svg("text", { class: "flux", x: point[0] + normal[0] * far, y: point[1] + normal[1] * far, "text-anchor": anchor }, text));
  }

  return { draw };
})();
