/* Collection: all models in one table whose filters also choose what the plots below it show. */
"use strict";
gemforest.views.collection = (() => {
  const { el, fmt, unit, percent, plural, heading, hrefs, table, plots, select, empty } = gemforest;
  const DISTRIBUTIONS = ["reactions", "genes", "growth_per_h", "reactions_without_evidence", "gapfilled", "fva_median_width", "essential_genes", "carbon", "proteins"];
  const MOST_COMPOUNDS = 60;

  function badge(end) {
    return el("span", { class: `badge ${end === "ok" ? "ok" : end === "unfinished" ? "" : "bad"}` }, end);
  }

  function modelColumns(core) {
    return core.columns.filter((c) => c.values.some((v) => v !== null && v !== "") || c.key === "genome_id").map((c) => ({
      key: c.key, title: c.title, kind: c.key === "genome_id" ? "id" : c.kind, unit: c.unit, doc: c.doc,
      value: (place) => c.values[place],
      cell: c.key === "genome_id" ? (_, id) => el("a", { href: hrefs.genome(id) }, id) : c.key === "outcome" ? (_, v) => badge(v) : null,
    }));
  }

  /** State that the plots share: chosen genomes and grouping. */
  function view(core) {
    const chosen = { places: core.genomes.map((_, i) => i), group: defaultGroup(core) };
    const listeners = [];
    let timer = 0;
    const changed = () => { clearTimeout(timer); timer = setTimeout(() => listeners.forEach((f) => f()), 120); };
    const listen = (figure) => { listeners.push(() => figure.redraw()); return figure; };
    const models = table({
      caption: "Models at a glance", columns: modelColumns(core), rows: core.genomes.map((_, i) => i), filters: true, sticky: true,
      onFilter: (places) => { chosen.places = places; changed(); },
    });
    const group = () => core.groups[chosen.group];
    const pick = core.groups.length ? select("Colour and group by", core.groups.map((g, i) => [String(i), `${g.name} (${plural(g.levels.length, "level")})`]), String(chosen.group),
      (value) => { chosen.group = Number(value); changed(); }) : null;

    const nodes = [
      el("h1", {}, "Collection"),
      el("p", { class: "lead" }, "Filters under the headings take text, >100, <5 or 1..5. What you filter here is what the plots show."),
      models,
      ...heading("Distributions", "Over the genomes that the table shows; the orange line is the median."),
      distributions(core, chosen, listen),
      ...heading("Reaction content", "Genomes whose models hold similar reactions lie close together (principal components of presence and absence, exchanges left out)."),
      pick ? el("div", { class: "controls" }, pick) : null,
      content(core, chosen, group, listen, listeners),
    ];
    const later = el("div", {}, el("p", { class: "busy", role: "status" }, "Loading the screens and the reactions …"));
    nodes.push(later);
    fill(core, chosen, group, listen, listeners, later).catch((error) => later.replaceChildren(el("p", { class: "note warn" }, error.message)));
    return nodes;
  }

  function defaultGroup(core) {
    const rank = core.groups.findIndex((g) => ["phylum", "class", "order"].includes(g.name));
    if (rank >= 0) return rank;
    const few = core.groups.findIndex((g) => g.levels.length <= plots.CATEGORIES);
    return few >= 0 ? few : 0;
  }

  function distributions(core, chosen, listen) {
    const columns = DISTRIBUTIONS.map((key) => core.columns.find((c) => c.key === key)).filter((c) => c && c.values.some((v) => v !== null));
    if (!columns.length) return empty("No model yet.");
    return el("div", { class: "cards small" }, columns.map((c) => listen(plots.figure(c.title, c.doc.split(";")[0],
      (width) => plots.histogram(chosen.places.map((i) => c.values[i]), { label: c.title, unit: unit(c.unit), width }), { height: 170 }))));
  }

  function codesOf(group, place) {
    return group && group.codes[place] >= 0 ? group.codes[place] : plots.CATEGORIES;
  }

  function content(core, chosen, group, listen, listeners) {
    const parts = [];
    if (core.pca) {
      const key = el("div");
      const showKey = () => {
        const g = group();
        if (!g) return;
        const counts = g.levels.map(() => 0);
        for (const i of chosen.places) if (g.codes[i] >= 0) counts[g.codes[i]] += 1;
        key.replaceChildren(plots.legend(g.levels, counts));
      };
      listeners.push(showKey);
      showKey();
      const [ex, ey] = core.pca.explained;
      const scatter = listen(plots.figure("Principal components", `Axes fitted on ${plural(core.pca.fitted_on, "genome")}. Click a point to open the genome.`, (width) => {
        const g = group();
        const points = chosen.places.filter((i) => core.pca.x[i] !== null).map((i) => ({ x: core.pca.x[i], y: core.pca.y[i], code: Math.min(codesOf(g, i), plots.CATEGORIES), name: core.genomes[i] }));
        return points.length ? plots.scatter(points, { xLabel: `component 1 (${percent(ex)} of the variance)`, yLabel: `component 2 (${percent(ey)})`, levels: g ? g.levels.slice(0, plots.CATEGORIES).concat("others") : [], width, onpick: (p) => { location.hash = hrefs.genome(p.name); } }) : null;
      }, { height: 420 }));
      scatter.querySelector("figcaption").append(key);
      parts.push(scatter);
    } else parts.push(empty("Principal components need three models that differ."));
    if (core.pan) {
      const { k, pan, core: common, classes, spectrum } = core.pan;
      const n = k[k.length - 1];
      parts.push(el("div", { class: "cards below" },
        plots.figure("Pan-reactome", `Reactions in any and in all of k genomes, expected over all orders of the ${plural(n, "model")}: pan ${fmt(pan[pan.length - 1])}, core ${fmt(common[common.length - 1])}.`,
          (width) => plots.lines([{ name: "in any (pan)", points: k.map((x, i) => [x, pan[i]]) }, { name: "in all (core)", points: k.map((x, i) => [x, common[i]]), colour: "c1" }], { xLabel: "genomes", yLabel: "reactions", width })),
        plots.figure("Core and accessory reactions", `In all: ${fmt(classes.core)}; in 95 % or more: ${fmt(classes.soft_core)}; in 15 to 95 %: ${fmt(classes.shell)}; in fewer: ${fmt(classes.cloud)}.`,
          (width) => Plot.plot({ width, height: 260, marginLeft: 48, marginBottom: 38, style: { background: "none" },
            x: { label: "share of genomes that hold a reaction", labelAnchor: "center", labelArrow: "none", tickFormat: (v) => percent(v) }, y: { label: "reactions", grid: true, labelArrow: "none", tickFormat: gemforest.tick },
            marks: [Plot.rectY(spectrum, { x1: (_, i) => i / 20, x2: (_, i) => (i + 1) / 20, y: (d) => d, fill: plots.colour("accent"), fillOpacity: 0.75, inset: 0.5 }), Plot.ruleY([0])] }))));
    }
    return el("div", {}, parts);
  }

  async function fill(core, chosen, group, listen, listeners, later) {
    const [screens, reactions] = await Promise.all([gemforest.load("screens", "data/screens.js"), gemforest.load("reactions", "data/reactions.js")]);
    later.replaceChildren(
      ...heading("Growth on carbon sources", "Genomes × carbon sources by flux balance, uptake opened one by one."), carbon(core, chosen, group, screens, listeners),
      ...heading("Auxotrophies and secretion", "Share of the genomes in the table that need a compound, or can secrete a product without oxygen. Only questions that the model could answer count."),
      el("div", { class: "cards" }, screenBars(core, chosen, screens, "auxotrophy", "Auxotrophies", "needs it from outside", "c5", listen), screenBars(core, chosen, screens, "product", "Products", "can secrete it", "c0", listen)),
      ...heading("Reactions along the taxonomy", "Share of a group's models that hold a reaction."), alongTaxonomy(core, reactions),
      ...heading("All reactions"), reactionTable(core, reactions));
  }

  function letters(screen, place) {
    const width = screen.compounds.length;
    return screen.letters.substr(place * width, width);
  }

  function carbon(core, chosen, group, screens, listeners) {
    const own = screens.filter((s) => s.screen !== "auxotrophy" && s.screen !== "product");
    if (!own.length) return empty("No growth screen was run.");
    const state = { screen: Math.max(0, own.findIndex((s) => s.screen === "carbon")), which: "varied" };
    const place = el("div", { class: "card" });
    const draw = () => {
      if (!place.isConnected || !place.clientWidth) return;
      const screen = own[state.screen];
      const answered = chosen.places.map((i) => ({ place: i, name: core.genomes[i], letters: letters(screen, i) })).filter((row) => row.letters.trim());
      const yes = screen.compounds.map((_, j) => d3.sum(answered, (row) => (row.letters[j] === "+" ? 1 : 0)));
      const order = screen.compounds.map((_, j) => j).filter((j) => yes[j] > 0);
      const score = { varied: (j) => -yes[j] * (answered.length - yes[j]), common: (j) => -yes[j], rare: (j) => yes[j] }[state.which];
      const kept = order.sort((a, b) => score(a) - score(b) || yes[b] - yes[a]).slice(0, MOST_COMPOUNDS).sort((a, b) => yes[b] - yes[a]);
      if (!kept.length) { place.replaceChildren(empty("No genome of the table grows on any compound of this screen.")); return; }
      const g = group();
      const rows = answered.sort((a, b) => codesOf(g, a.place) - codesOf(g, b.place) || (core.pca ? core.pca.x[a.place] - core.pca.x[b.place] : 0))
        .map((row) => ({ ...row, letters: kept.map((j) => row.letters[j]).join("") }));
      place.replaceChildren(
        el("ul", { class: "legend" }, [["var(--heat1)", rows.length > 60 ? "all grow" : "grows"], ["var(--heat0)", rows.length > 60 ? "none grows" : "does not grow"], ["var(--never)", "no transport in the model"]].map(([tint, text]) => el("li", {}, el("i", { style: `background:${tint}` }), text)),
          el("li", {}, `${plural(rows.length, "genome")}; ${plural(kept.length, "compound")} of ${fmt(order.length)} on which any grows, of ${fmt(screen.compounds.length)} tried`)),
        plots.heat({ rows, columns: kept.map((j) => screen.compounds[j]), names: core.compound_names, width: place.clientWidth - 36, onpick: (row) => { location.hash = hrefs.genome(row.name); } }));
    };
    listeners.push(draw);
    new ResizeObserver(draw).observe(place);
    place.classList.add("drawn");
    place.drawAgain = draw;
    return el("div", {}, el("div", { class: "controls" },
      select("Screen", own.map((s, i) => [String(i), `${s.screen}, ${s.condition}`]), String(state.screen), (v) => { state.screen = Number(v); draw(); }),
      select("Compounds", [["varied", "that divide the genomes most"], ["common", "used by most"], ["rare", "used by fewest"]], state.which, (v) => { state.which = v; draw(); })), place);
  }

  function screenBars(core, chosen, screens, name, title, verb, tint, listen) {
    const own = screens.filter((s) => s.screen === name);
    if (!own.length) return el("div", { class: "card" }, el("h3", {}, title), empty("This screen was not run."));
    const note = el("p");
    const made = listen(plots.figure(title, null, (width) => {
      const rows = own.flatMap((s) => s.compounds.map((compound, j) => {
        let yes = 0, asked = 0;
        for (const i of chosen.places) { const c = s.letters[i * s.compounds.length + j]; if (c === "+") yes += 1; if (c === "+" || c === "-") asked += 1; }
        return { name: core.compound_names[compound] || compound, value: asked ? yes / asked : 0, yes, asked, title: `${compound} (${s.condition}): ${yes} of ${asked}` };
      }));
      const asked = rows.filter((r) => r.asked), found = asked.filter((r) => r.yes).sort((a, b) => b.value - a.value || a.name.localeCompare(b.name));
      note.textContent = `${plural(found.length, "compound")} with a genome that ${verb}; ${fmt(asked.length)} of ${fmt(rows.length)} could be asked.`;
      return found.length ? plots.bars(found, { label: `share of models`, width, fill: tint, format: (v) => percent(v) }) : empty(asked.length ? "No genome of the table." : "No model could answer: without growth in that condition there is no answer.");
    }));
    made.querySelector("figcaption").append(note);
    return made;
  }

  function alongTaxonomy(core, reactions) {
    if (!reactions.by_group.length) return empty("No grouping: give taxonomy or tags in the sheet.");
    const state = { group: Math.max(0, reactions.by_group.findIndex((g) => g.name === (core.groups[defaultGroup(core)] || {}).name)), text: "" };
    const figure = plots.figure("Presence by group", "The reactions that differ most between the groups, or those whose id or name you type.", (width) => {
      const g = reactions.by_group[state.group];
      const levels = g.levels.map((name, i) => i).filter((i) => g.sizes[i] > 0);
      const wanted = state.text.trim().toLowerCase();
      let columns = core.reactions.map((_, j) => j);
      if (wanted) columns = columns.filter((j) => core.reactions[j].toLowerCase().includes(wanted) || core.reaction_names[j].toLowerCase().includes(wanted));
      const spread = (j) => { const s = levels.map((i) => g.counts[i][j] / g.sizes[i]); return d3.variance(s) || 0; };
      const ranked = columns.map((j) => [j, spread(j)]).sort((a, b) => (wanted ? core.reactions[a[0]].length - core.reactions[b[0]].length : 0) || b[1] - a[1]).slice(0, 32).map(([j]) => j);
      if (!ranked.length) return empty("No reaction has that in its id or name.");
      const rows = levels.map((i) => `${g.levels[i]} (${g.sizes[i]})`);
      const cells = levels.flatMap((i, r) => ranked.map((j) => ({ row: rows[r], column: core.reactions[j], share: g.counts[i][j] / g.sizes[i], title: `${core.reactions[j]} ${core.reaction_names[j]}\n${g.levels[i]}: ${g.counts[i][j]} of ${g.sizes[i]}` })));
      return plots.shares(cells, { width, rows, columns: ranked.map((j) => core.reactions[j]) });
    }, { height: 260 });
    figure.append(el("ul", { class: "legend" }, el("li", {}, el("i", { style: "background:var(--heat0)" }), "in none"), el("li", {}, el("i", { style: "background:var(--heat1)" }), "in all models of the group")));
    const text = el("input", { type: "search", placeholder: "e.g. CYTBD or nitrate", oninput: () => { state.text = text.value; figure.redraw(); } });
    return el("div", {}, el("div", { class: "controls" },
      select("Groups", reactions.by_group.map((g, i) => [String(i), g.name]), String(state.group), (v) => { state.group = Number(v); figure.redraw(); }),
      el("label", { class: "field" }, "Reaction", text)), figure);
  }

  function reactionTable(core, reactions) {
    const rows = core.reactions.map((_, j) => j).filter((j) => reactions.genomes[j] > 0);
    const n = d3.max(core.pan ? core.pan.k : [core.genomes.length]);
    return table({
      caption: "Reactions of the collection", rows, filters: true, sort: [{ id: "genomes", desc: true }],
      columns: [
        { key: "reaction", title: "reaction", kind: "id", value: (j) => core.reactions[j] },
        { key: "name", title: "name", kind: "text", value: (j) => core.reaction_names[j] },
        { key: "genomes", title: "genomes", kind: "number", value: (j) => reactions.genomes[j] },
        { key: "share", title: "share", unit: "%", kind: "number", value: (j) => Math.round((1000 * reactions.genomes[j]) / n) / 10 },
        { key: "gapfilled", title: "gap-filled in", kind: "number", value: (j) => reactions.gapfilled[j] },
        { key: "bare", title: "without genes in", kind: "number", value: (j) => reactions.without_genes[j] },
      ],
    });
  }

  return view;
})();
