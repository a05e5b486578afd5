/* Central carbon metabolism as SVG: where the metabolites stand, which reactions join them, and their fluxes. */
"use strict";
gemforest.map = (() => {
  const { svg, fmt } = gemforest;
  const SIZE = [860, 800];

  // metabolite: x, y, label
  const NODES = {
    glc: [300, 26, "glucose"], g6p: [300, 96, "glucose 6-P"], f6p: [300, 166, "fructose 6-P"], fdp: [300, 236, "fructose 1,6-bisP"],
    g3p: [300, 316, "glyceraldehyde 3-P"], dhap: [108, 276, "dihydroxyacetone P"], bpg: [300, 386, "1,3-bisP-glycerate"], pg3: [300, 446, "3-P-glycerate"],
    pg2: [300, 506, "2-P-glycerate"], pep: [300, 566, "PEP"], pyr: [300, 666, "pyruvate"], lac: [96, 666, "lactate"],
    pgl: [500, 96, "6-P-gluconolactone"], pgc: [690, 96, "6-P-gluconate"], ru5p: [690, 166, "ribulose 5-P"], r5p: [770, 236, "ribose 5-P"],
    xu5p: [600, 236, "xylulose 5-P"], s7p: [770, 316, "sedoheptulose 7-P"], e4p: [560, 316, "erythrose 4-P"], kdpg: [490, 172, "KDPG"],
    accoa: [456, 546, "acetyl-CoA"], actp: [416, 462, "acetyl-P"], ac: [416, 392, "acetate"], acald: [516, 462, "acetaldehyde"], etoh: [516, 392, "ethanol"],
    oaa: [504, 646, "oxaloacetate"], cit: [620, 546, "citrate"], icit: [752, 566, "isocitrate"], akg: [806, 650, "2-oxoglutarate"],
    sucoa: [770, 736, "succinyl-CoA"], succ: [640, 772, "succinate"], fum: [520, 772, "fumarate"], mal: [430, 722, "malate"], glx: [640, 664, "glyoxylate"],
  };

  // from, to, reactions with the sign of their BiGG direction along the arrow, bend
  const EDGES = [
    ["glc", "g6p", { GLCptspp: 1, GLCpts: 1, HEX1: 1, GLCabc: 0 }],
    ["g6p", "f6p", { PGI: 1 }],
    ["f6p", "fdp", { PFK: 1, PFK_ppi: 1, PFK_adp: 1, FBP: -1 }],
    ["fdp", "g3p", { FBA: 1 }],
    ["fdp", "dhap", { FBA: 1 }],
    ["dhap", "g3p", { TPI: 1 }],
    ["g3p", "bpg", { GAPD: 1, GAPDi_nadp: 1 }],
    ["bpg", "pg3", { PGK: -1 }],
    ["g3p", "pg3", { GAPDH_nadp_hi: 1, GAPDHnp: 1 }, 70],
    ["pg3", "pg2", { PGM: -1 }],
    ["pg2", "pep", { ENO: 1 }],
    ["pep", "pyr", { PYK: 1, PPS: -1, PPDK: -1 }],
    ["pyr", "lac", { LDH_D: -1, LDH_L: -1, L_LACD2: -1, L_LACD3: -1, LDH_D2: -1 }],
    ["g6p", "pgl", { G6PDH2r: 1, G6PDH2: 1, G6PDHy: 1 }],
    ["pgl", "pgc", { PGL: 1 }],
    ["pgc", "ru5p", { GND: 1, PGDHr: 1 }],
    ["pgc", "kdpg", { EDD: 1 }],
    ["kdpg", "g3p", { EDA: 1 }],
    ["ru5p", "r5p", { RPI: -1 }],
    ["ru5p", "xu5p", { RPE: 1 }],
    ["r5p", "s7p", { TKT1: 1 }],
    ["xu5p", "s7p", { TKT1: 1 }],
    ["s7p", "e4p", { TALA: 1 }],
    ["e4p", "f6p", { TKT2: 1 }, 26],
    ["pyr", "accoa", { PDH: 1, PFL: 1, POR5: 1, POR_syn: 1, PDHr: 1 }],
    ["accoa", "actp", { PTAr: 1 }],
    ["actp", "ac", { ACKr: -1 }],
    ["accoa", "ac", { ACS: -1, ACS2: -1 }, -74],
    ["accoa", "acald", { ACALD: -1 }],
    ["acald", "etoh", { ALCD2x: -1, ALCD2y: -1, ALCD2ir: 1 }],
    ["pep", "oaa", { PPC: 1, PPCK: -1 }, 34],
    ["pyr", "oaa", { PC: 1, OAADC: -1 }],
    ["mal", "pyr", { ME1: 1, ME2: 1, MALLAC: 0 }],
    ["accoa", "cit", { CS: 1 }],
    ["oaa", "cit", { CS: 1 }],
    ["cit", "icit", { ACONTb: 1, ACONT: 1 }],
    ["icit", "akg", { ICDHyr: 1, ICDHx: 1 }],
    ["akg", "sucoa", { AKGDH: 1, OOR2r: 1, OOR3r: 1, AKGDa: 1 }],
    ["sucoa", "succ", { SUCOAS: -1, SUCOAS1: -1 }],
    ["succ", "fum", { SUCDi: 1, SUCD1: 1, SUCD4: 1, SUCDq: 1, SUCD_pool: 1, FRD2: -1, FRD3: -1, FRD7: -1, FRD_pool: -1 }],
    ["fum", "mal", { FUM: 1 }],
    ["mal", "oaa", { MDH: 1, MDH2: 1, MDH3: 1, MDH_pool: 1 }],
    ["icit", "glx", { ICL: 1 }],
    ["glx", "mal", { MALS: 1 }],
  ];

  /** Where the straight line from a node's middle leaves its label. */
  function clear([x, y, label], towardX, towardY) {
    const halfWidth = label.length * 3.6 + 6, halfHeight = 12;
    const dx = towardX - x, dy = towardY - y;
    const scale = 1 / Math.max(Math.abs(dx) / halfWidth, Math.abs(dy) / halfHeight);
    return [x + dx * Math.min(1, scale), y + dy * Math.min(1, scale)];
  }

  /** The sum of an edge's fluxes along its arrow; null where the model has none of its reactions. */
  function edgeFlux(signs, held, fluxes) {
    const own = Object.keys(signs).filter((r) => held.has(r) && signs[r]);
    if (!own.length) return null;
    const running = own.filter((r) => Math.abs(fluxes.get(r) || 0) > 0);
    return { flux: running.reduce((sum, r) => sum + signs[r] * fluxes.get(r), 0), own, running };
  }

  /** `held`: set of reactions of the model; `fluxes`: reaction to flux. */
  function draw(held, fluxes, label) {
    const found = EDGES.map(([from, to, signs, bend = 0]) => ({ from, to, bend, state: edgeFlux(signs, held, fluxes), names: Object.keys(signs) }));
    const most = Math.max(1e-9, ...found.map((e) => Math.abs(e.state?.flux || 0)));
    const image = svg("svg", { viewBox: `0 0 ${SIZE[0]} ${SIZE[1]}`, role: "img", "aria-label": label });
    const lines = svg("g", { fill: "none", "stroke-linecap": "round" }), arrows = svg("g", {}), texts = svg("g", {});
    for (const edge of found) drawEdge(edge, most, lines, arrows, texts);
    const nodes = svg("g", {}, Object.values(NODES).map(([x, y, text]) => svg("text", { class: "node", x, y }, text)));
    image.append(lines, arrows, texts, nodes);
    return image;
  }

  function drawEdge({ from, to, bend, state, names }, most, lines, arrows, texts) {
    const a = NODES[from], b = NODES[to];
    const length = Math.hypot(b[0] - a[0], b[1] - a[1]);
    const normal = [-(b[1] - a[1]) / length, (b[0] - a[0]) / length];
    const control = [(a[0] + b[0]) / 2 - normal[0] * bend, (a[1] + b[1]) / 2 - normal[1] * bend];
    const start = clear(a, ...control), end = clear(b, ...control);
    const flux = state ? state.flux : 0, running = Math.abs(flux) > 1e-9;
    const width = running ? 1.6 + 8.4 * Math.sqrt(Math.abs(flux) / most) : 1.4;
    const tint = running ? "var(--accent)" : "var(--idle)";
    const what = state ? (running ? `${state.running.join(", ")}: ${fmt(Math.abs(flux))} mmol gDW⁻¹ h⁻¹` : `${state.own.join(", ")}: no flux`) : `not in the model: ${names.join(", ")}`;
    const head = running ? Math.max(7, width * 1.5) : 0;
    const tip = flux >= 0 ? end : start;
    const towards = [tip[0] - control[0], tip[1] - control[1]];
    const size = Math.hypot(...towards) || 1;
    const unitVector = [towards[0] / size, towards[1] / size];
    const base = [tip[0] - unitVector[0] * head, tip[1] - unitVector[1] * head];
    const [p, q] = flux >= 0 ? [start, base] : [base, end];
    lines.append(svg("path", { d: `M${p} Q${control} ${q}`, stroke: tint, "stroke-width": width.toFixed(2), "stroke-dasharray": state ? null : "2 5", "stroke-linecap": running ? "butt" : "round" }, svg("title", {}, what)));
    if (!running) return;
    const side = [-unitVector[1] * head * 0.62, unitVector[0] * head * 0.62];
    arrows.append(svg("polygon", { points: `${tip} ${[base[0] + side[0], base[1] + side[1]]} ${[base[0] - side[0], base[1] - side[1]]}`, fill: tint }, svg("title", {}, what)));
    const middle = [0.25 * start[0] + 0.5 * control[0] + 0.25 * end[0], 0.25 * start[1] + 0.5 * control[1] + 0.25 * end[1]];
    const upright = Math.abs(b[0] - a[0]) < Math.abs(b[1] - a[1]);
    texts.append(svg("text", { class: "flux", x: middle[0] + (upright ? width / 2 + 6 : 0), y: middle[1] + (upright ? 0 : -width / 2 - 8), "text-anchor": upright ? "start" : "middle" },
      `${state.running.join("+")} ${fmt(Math.abs(flux))}`));
  }

  return { draw, reactions: [...new Set(EDGES.flatMap((e) => Object.keys(e[2])))] };
})();
