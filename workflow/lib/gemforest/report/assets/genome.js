/* One genome: from its summary to its fluxes, and where its files lie. */
"use strict";
gemforest.views.genome = (() => {
  const { el, fmt, unit, percent, plural, duration, tile, heading, facts, hrefs, table, plots, select, empty } = gemforest;
  const SOURCES = { D: "similarity to model genes (D)", N: "embedding neighbour (N)", E: "EC number (E)", A: "annotation (A)", U: "user's calls (U)", P: "other predictor (P)" };
  const WHY = {
    evidence: ["genes with evidence", "c2"], scored_reactions: ["needed by reactions with evidence", "c4"], growth: ["needed for growth", "c1"],
    spontaneous: ["spontaneous", "c8"], exchange: ["exchange", "c7"], reference: ["from the reference model", "c3"], carveme: ["CarveMe", "c0"],
  };
  const FLAGS = { against_dg: "runs against its Gibbs energy", breaks_cycle: "could close a cycle" };

  /** A search box over all genomes; `go` gets the chosen id. */
  function chooser(core, label, current, go) {
    const options = el("datalist", { id: `choose-${label.replace(/\W+/g, "-")}` });
    const box = el("input", { type: "search", value: current || "", list: options.id, autocomplete: "off", placeholder: "name of a genome" });
    const suggest = () => {
      const wanted = box.value.toLowerCase();
      const found = [];
      for (const id of core.genomes) { if (id.toLowerCase().includes(wanted)) found.push(id); if (found.length >= 25) break; }
      options.replaceChildren(...found.map((id) => el("option", { value: id })));
      if (core.places.has(box.value)) go(box.value);
    };
    box.addEventListener("input", suggest);
    box.addEventListener("focus", () => { box.select(); suggest(); });
    return el("label", { class: "field" }, label, box, options);
  }

  /** All about one genome; `ids` are the reactions that its places mean. */
  async function details(core, id) {
    const shard = core.shards[core.places.get(id)], file = `genomes/shard=${shard}.js`;
    const [found, ids] = await Promise.all([gemforest.load(`genome/${id}`, file), gemforest.load(`reactions@${shard}`, file)]);
    return { ...found, ids };
  }

  function absent(d, name, text) {
    return d.tables.includes(name) ? null : el("p", { class: "empty" }, text);
  }

  function summary(core, id, d) {
    const s = d.summary || {}, draft = d.drafts || {}, place = core.places.get(id);
    const column = (key) => core.columns.find((c) => c.key === key)?.values[place];
    const stop = d.ledger.find((row) => row[1] !== "ok");
    return [
      stop ? el("p", { class: "note warn" }, `Stopped at ${stop[0]} (${stop[1].replaceAll("_", " ")}): ${stop[3] || stop[2]}`) : null,
      d.summary ? el("div", { class: "tiles" },
        tile(fmt(s.growth_per_h), `growth on ${s.medium}, h⁻¹`, s.grows ? "grows" : "does not grow", s.grows ? "good" : "bad"),
        tile(fmt(s.reactions), "reactions", `${fmt(s.metabolites)} metabolites`), tile(fmt(s.genes), "genes in rules", `of ${fmt(s.proteins)} proteins`),
        tile(fmt(draft.reactions_without_evidence), "reactions without evidence", draft.reactions ? percent(draft.reactions_without_evidence / draft.reactions, 1) : ""),
        tile(fmt(s.gapfilled), "gap-filled"), tile(fmt(s.fva_median_width), "median FVA width", "mmol gDW⁻¹ h⁻¹"),
        tile(fmt(s.essential_genes), "essential genes", d.knockouts ? `of ${fmt(d3.sum(Object.values(d.knockouts.tried)))} tried` : ""),
        tile(fmt(column("carbon") ?? null), "carbon sources", "that it grows on")) : null,
    ];
  }

  function origin(d) {
    const g = d.genomes || {}, sets = d.gene_sets || {}, line = d.lineages || {}, draft = d.drafts || {};
    const tags = Object.entries(g.tags || {}).map(([k, v]) => [k, v]);
    const pc = (v) => (v === undefined ? null : `${fmt(v)} %`);
    return el("div", { class: "cards" },
      el("div", { class: "card" }, el("h3", {}, "Genome"), facts([["source", el("code", {}, g.source || d.sheet.source)], ["organism", g.organism], ...tags, ["accession", g.accession], ["NCBI taxon", g.taxid && String(g.taxid)], ["taxonomy", g.taxonomy],
        ["assembly", g.assembly_level], ["completeness", pc(g.completeness_percent)], ["contamination", pc(g.contamination_percent)], ["contigs", g.contigs && fmt(g.contigs)], ["length", g.genome_bp && `${fmt(g.genome_bp / 1e6)} Mbp`],
        ["proteins", sets.proteins && `${fmt(sets.proteins)}, ${fmt(sets.distinct_proteins)} distinct`], ["genetic code", sets.genetic_code && String(sets.genetic_code)], ["file", g.file && el("code", {}, g.file)], ["SHA-256", g.file_sha256 && el("code", {}, g.file_sha256)]])),
      el("div", { class: "card" }, el("h3", {}, "Model"), facts([["universe", draft.universe], ["chosen by", line.decided_by], ["certain", line.uncertain === true ? "no, see explain" : null], ["biomass", draft.biomass], ["engine", draft.engine], ["method", draft.method], ["score", draft.score_sum !== undefined ? `${fmt(draft.score_sum, 5)} of at most ${fmt(draft.score_bound, 5)}` : null],
        ["limit that ended the search", draft.limit_fired]])),
      el("div", { class: "card" }, el("h3", {}, "Stages"), facts(d.ledger.map(([stage, outcome, , , seconds, mb]) => [stage, el("span", {}, el("span", { class: `badge ${outcome === "ok" ? "ok" : outcome === "skipped_upstream" ? "" : "bad"}` }, outcome.replaceAll("_", " ")), ` ${duration(seconds)}${mb ? `, ${fmt(mb)} MB` : ""}`)]))));
  }

  function evidence(core, d) {
    const e = d.evidence;
    if (!e) return [empty("No evidence table: the stage evidence has not finished this genome.")];
    const sources = Object.entries(e.sources).sort((a, b) => b[1] - a[1]).map(([set, n], i) => ({ name: set.split("+").map((c) => SOURCES[c] || c).join(" and "), value: n, colour: `c${Math.min(i, 8)}` }));
    const why = Object.entries(d.why || {}).map(([key, n]) => ({ name: (WHY[key] || [key])[0], value: n, colour: (WHY[key] || [key, "c8"])[1] })).sort((a, b) => b.value - a.value);
    const decided = Object.entries(e.decisions).map(([k, n]) => `${k}: ${fmt(n)}`).join("; ");
    const stripFigure = (title, text, parts, label) => {
      const f = plots.figure(title, text, (width) => plots.strip(parts, { width, label }), { height: 80 });
      f.append(plots.stripLegend(parts));
      return f;
    };
    const columns = table.listColumns([["gene", "id"], ["description", "text"], ["reaction", "category", { cell: (_, v) => el("code", {}, v) }], ["probability", "number"], ["decision", "category"], ["agreement", "category"], ["who says what", "text"]]);
    const conflicts = e.conflict_count
      ? table({ caption: `Conflicts to look at: ${fmt(e.conflict_rows.length)} of ${fmt(e.conflict_count)}, the most probable first`, columns, rows: e.conflict_rows, pageSize: 25 })
      : el("p", { class: "empty" }, Object.keys(e.conflicts).every((k) => k === "single_source") ? "None, because every call rests on one source: sources that were not asked cannot disagree." : "None: where several sources speak, they agree.");
    return [
      el("div", { class: "cards" },
        why.length ? stripFigure("Why reactions are in the draft", null, why, "reactions") : null,
        stripFigure("What accepted calls rest on", `${plural(d3.sum(sources, (s) => s.value), "call")} of ${plural(e.genes, "gene")} for reactions. ${decided}.`, sources, "calls"),
        plots.figure("How sure the accepted calls are", "Calibrated probability of gene → reaction calls.", (width) => Plot.plot({ width, height: 170, marginLeft: 44, marginBottom: 36, style: { background: "none" }, x: { label: "probability", labelAnchor: "center", labelArrow: "none" }, y: { label: "calls", grid: true, ticks: 4, labelArrow: "none", tickFormat: gemforest.tick },
          marks: [Plot.rectY(e.histogram, { x1: (_, i) => i / 20, x2: (_, i) => (i + 1) / 20, y: (v) => v, fill: plots.colour("accent"), fillOpacity: 0.75, inset: 0.5 }), Plot.ruleY([0])] }), { height: 170 })),
      el("h2", {}, "Conflicts"), conflicts,
      e.least_certain.length ? el("details", {}, el("summary", {}, `The ${e.least_certain.length} least certain accepted calls`), table({ caption: "Accepted calls with the lowest probability", columns, rows: e.least_certain })) : null,
      d.dark_enzymes && d.dark_enzymes.length ? table({ caption: "Proteins without database hit that lie near a known enzyme", columns: table.listColumns([["gene", "id"], ["neighbour", "text"], ["distance", "number"], ["reaction", "category"], ["probability", "number"]]), rows: d.dark_enzymes }) : null,
    ];
  }

  function gapfills(core, d) {
    if (!d.gapfills) return empty("The stage gapfill has not finished this genome.");
    if (!d.gapfills.length) return empty("Nothing had to be added: the draft grows on its medium.");
    const text = (list, words = (v) => v) => (list || []).map(words).join(", ");
    return table({
      caption: "Reactions added so that the genome grows", rows: d.gapfills, columns: [
        { key: "reaction", title: "reaction", kind: "id", value: (r) => r[0] },
        { key: "name", title: "name", kind: "text", value: (r) => core.nameOf(r[0]) },
        { key: "unblocks", title: "without it cannot be made", kind: "text", value: (r) => text(r[4]) },
        { key: "medium", title: "medium", kind: "category", value: (r) => r[1] },
        { key: "probability", title: "probability", kind: "number", value: (r) => r[2] },
        { key: "genes", title: "candidate genes", kind: "text", value: (r) => text(r[3]) },
        { key: "cost", title: "cost", kind: "number", value: (r) => r[5] },
        { key: "frequency", title: "in alternative fills", kind: "number", value: (r) => r[6], cell: (_, v) => percent(v) },
        { key: "flags", title: "remarks", kind: "text", value: (r) => text(r[7], (f) => FLAGS[f] || f) },
      ],
    });
  }

  function growth(core, d) {
    if (!d.screens) return empty("No screen: the stage simulate has not finished this genome, or screens are off.");
    const rows = d.screens.rows;
    const outside = Object.entries(d.screens.not_in_model).map(([screen, n]) => `${fmt(n)} ${screen}`).join(", ");
    return el("div", {}, table({
      caption: "Screens", rows, filters: true, columns: [
        { key: "compound", title: "compound", kind: "id", value: (r) => r[2] },
        { key: "name", title: "name", kind: "text", value: (r) => core.compound_names[r[2]] },
        { key: "screen", title: "screen", kind: "category", value: (r) => r[0] },
        { key: "condition", title: "condition", kind: "category", value: (r) => r[1] },
        { key: "answer", title: "answer", kind: "category", value: (r) => (r[3] || "").replaceAll("_", " "), cell: (r, v) => el("span", { class: `badge ${["growth", "secreted"].includes(r[3]) ? "ok" : r[3] === "needed" || r[3] === "undecided" ? "warn" : ""}` }, v) },
        { key: "growth", title: "growth", unit: "h^-1", kind: "number", value: (r) => r[4] },
        { key: "flux", title: "secretion", unit: "mmol gDW^-1 h^-1", kind: "number", value: (r) => r[5] },
        { key: "score", title: "growth score", kind: "number", value: (r) => r[6] },
        { key: "weakest", title: "weakest links", kind: "text", value: (r) => (r[7] || []).join(", ") },
      ].filter((c) => ["compound", "screen", "condition", "answer"].includes(c.key) || rows.some((r) => { const v = c.value(r); return v !== null && v !== undefined && v !== ""; })),
    }), outside ? el("p", { class: "empty" }, `Not listed, because the model has no transport for them: ${outside}.`) : null);
  }

  function fluxes(core, d) {
    const solutions = [...(d.fba || []).map((f) => ({ ...f, label: `${f.condition} on ${f.medium}` })), ...(d.ec_fba || []).map((f) => ({ ...f, label: `${f.condition} on ${f.medium}, enzyme-constrained` }))];
    if (!solutions.length) return empty("No fluxes: the stage simulate has not finished this genome.");
    const held = new Set((d.model ? d.model.reactions : []).map((place) => d.ids[place]));
    // Which reaction is biomass, the plain solutions know; the enzyme-constrained ones share it.
    const biomass = ["Growth", ...d.ids.filter((r) => /biomass/i.test(r))].find((r) => held.has(r));
    const growthOf = (s) => s.growth ?? (biomass ? s.fluxes[s.reactions.findIndex((place) => d.ids[place] === biomass)] ?? null : null);
    const body = el("div");
    const show = (index) => {
      const s = solutions[index];
      const fluxOf = new Map(s.reactions.map((place, i) => [d.ids[place], s.fluxes[i]]));
      const ranked = s.exchanges.slice().sort((a, b) => a[1] - b[1]);
      body.replaceChildren(
        s.status === "optimal" ? el("p", { class: "lead" }, growthOf(s) !== null ? `Growth ${fmt(growthOf(s))} h⁻¹. ` : "", "Thickness goes with the square root of the flux; arrows show its direction.") : el("p", { class: "note" }, `No flux in this condition: the linear programme is ${s.status}${s.status === "infeasible" ? ", the model cannot grow so" : ""}.`),
        el("div", { class: "split" }, el("div", { class: "card map", tabindex: "0", role: "region", "aria-label": "Central carbon metabolism" }, gemforest.map.draw(held, fluxOf, `Fluxes of central carbon metabolism, ${s.label}`),
          el("ul", { class: "legend" }, [["3px solid var(--accent)", "carries flux (mmol gDW⁻¹ h⁻¹)"], ["2px solid var(--idle)", "in the model, no flux"], ["2px dotted var(--idle)", "not in the model"]].map(([line, text]) => el("li", {}, el("span", { class: "swatch-line", style: `border-top:${line}` }), text)))),
        ranked.length ? el("div", {}, table({ caption: `Uptake (negative) and secretion, ${s.label}`, rows: ranked, columns: table.listColumns([["exchange", "id"], ["flux", "number", { unit: "mmol gDW^-1 h^-1" }]]), pageSize: 25 })) : null));
    };
    const first = Math.max(0, solutions.findIndex((s) => s.status === "optimal"));
    show(first);
    return el("div", {}, solutions.length > 1 ? el("div", { class: "controls" }, select("Solution", solutions.map((s, i) => [String(i), s.label]), String(first), (v) => show(Number(v)))) : null, body);
  }

  function ranges(core, d) {
    if (!d.fva) return empty("No flux ranges: fva is off, or the stage simulate has not finished this genome.");
    return el("div", { class: "cards" }, d.fva.map((f) => {
      const note = `Ranges at ${percent(f.fraction)} of optimal growth${f.loopless ? ", cycles excluded" : ""}: ${fmt(f.plain.fixed)} of ${fmt(f.plain.reactions)} reactions cannot vary; median width of the others ${fmt(f.plain.median)} mmol gDW⁻¹ h⁻¹.`
        + (f.enzymes ? ` With enzyme constraints: ${fmt(f.enzymes.fixed)} of ${fmt(f.enzymes.reactions)}, ${fmt(f.enzymes.median)}.` : " Enzyme-constrained ranges are not part of this run.");
      const points = (q) => q.quantiles.map((w, i) => [Math.max(w, 1e-9), i / (q.quantiles.length - 1)]);
      const series = [{ name: "stoichiometry alone", points: points(f.plain) }];
      if (f.enzymes) series.push({ name: "with enzyme constraints", points: points(f.enzymes), colour: "c5" });
      return plots.figure(`Flux ranges, ${f.condition}`, note, (width) => plots.lines(series, { xLabel: "width, mmol gDW⁻¹ h⁻¹", yLabel: "share of reactions that are as narrow", width, log: true }));
    }));
  }

  function kinetics(core, d) {
    const missing = absent(d, "kcats", "Turnover numbers and enzyme constraints are not part of this run.");
    if (missing || (!d.kcats && !d.ec_summary)) return [missing || empty("No turnover number for this genome.")];
    const tiers = d.kcats || [];
    const rate = { unit: "s^-1" };
    return [
      el("div", { class: "cards" },
        plots.figure("Turnover numbers by tier", "Where each kcat comes from, best source first.", (width) => plots.bars(tiers.map(([tier, n]) => ({ name: tier.replaceAll("_", " "), value: n })), { label: "turnover numbers", width, fill: "c0" })),
        el("div", {}, table({ caption: "Tiers", rows: tiers, columns: table.listColumns([["tier", "id", { cell: (_, v) => v.replaceAll("_", " ") }], ["numbers", "number"], ["lower quartile", "number", rate], ["median", "number", rate], ["upper quartile", "number", rate]]) }))),
      d.ec_summary ? el("div", { class: "below" }, figures("The enzyme-constrained model", d.ec_summary)) : null,
      d.ec_tuning && d.ec_tuning.length ? el("div", { class: "below" }, table({ caption: "Changed so that the model grows as measured", rows: d.ec_tuning, columns: table.listColumns([["what", "id"], ["reaction", "category"], ["direction", "category"], ["before", "number"], ["after", "number"], ["method", "category"], ["reason", "text"]]) })) : null,
    ];
  }

  /** A table of [measure, value, unit, flagged, detail], flagged ones first. */
  function figures(caption, rows) {
    return table({ caption, rows, pageSize: 50, sort: [{ id: "look", desc: false }], columns: [
      { key: "measure", title: "measure", kind: "id", value: (r) => r[0].replaceAll("_", " ") },
      { key: "value", title: "value", kind: "number", value: (r) => r[1], cell: (r, v) => `${fmt(v)}${r[2] ? ` ${unit(r[2])}` : ""}` },
      { key: "look", title: "look", kind: "category", value: (r) => (r[3] ? "flagged" : null), cell: (_, v) => el("span", { class: "badge warn" }, v) },
      { key: "what", title: "what", kind: "text", value: (r) => r[4] }] });
  }

  function essential(d) {
    if (!d.knockouts) return empty("No knock-outs: they are off, or the stage simulate has not finished this genome.");
    const tried = Object.entries(d.knockouts.tried).map(([kind, n]) => `${plural(n, kind.replaceAll("_", " "))}`).join(", ");
    return table({ caption: `Essential: ${fmt(d.knockouts.essential.length)} of ${tried} tried`, rows: d.knockouts.essential, columns: table.listColumns([["target", "id"], ["description", "text"], ["kind", "category"], ["condition", "category"], ["growth left", "number", { doc: "growth over that of the intact model", cell: (_, v) => percent(v) }]]) });
  }

  function quality(d) {
    return d.quality ? figures("Quality of the model", d.quality) : empty("No quality figures yet.");
  }

  function files(d) {
    if (!d.files.length) return empty("The genome's own files are not beside this report.");
    return el("ul", { class: "links" }, d.files.map((path) => el("li", {}, el("a", { href: hrefs.file(path) }, path.split("/")[0].replaceAll("_", " ")), " ", el("small", {}, path.endsWith(".gz") ? "SBML" : "Parquet"))));
  }

  async function view(core, id) {
    const choose = chooser(core, "Genome", id, (name) => { location.hash = hrefs.genome(name); });
    if (!id || !core.places.has(id)) {
      return [el("h1", {}, "One genome"), id ? el("p", { class: "note warn" }, `There is no genome ${id} in this run.`) : null, el("p", { class: "lead" }, "Choose a genome, or click one in any table or plot."), el("div", { class: "controls" }, choose),
        el("ul", { class: "links" }, core.genomes.slice(0, 60).map((name) => el("li", {}, el("a", { href: hrefs.genome(name) }, name)))), core.genomes.length > 60 ? el("p", { class: "empty" }, `The first 60 of ${fmt(core.genomes.length)}; the box finds all.`) : null];
    }
    const d = await details(core, id);
    const place = core.places.get(id);
    const organism = core.columns.find((c) => c.key === "organism")?.values[place];
    const neighbour = (by) => core.genomes[(place + by + core.genomes.length) % core.genomes.length];
    return [
      el("h1", {}, id), el("p", { class: "lead" }, organism && organism !== id ? organism : ""),
      el("div", { class: "controls" }, choose, core.genomes.length > 1 ? el("div", { class: "crumbs" }, el("a", { href: hrefs.genome(neighbour(-1)) }, "← previous"), el("a", { href: hrefs.genome(neighbour(1)) }, "next →"), el("a", { href: hrefs.compare(id, neighbour(1)) }, "compare")) : null),
      ...summary(core, id, d), origin(d),
      ...heading("Evidence", "What the draft rests on."), ...evidence(core, d),
      ...heading("Gap-filling", "What had to be added, what for, and whether any gene speaks for it."), gapfills(core, d),
      ...heading("Fluxes", "Optimal growth by flux balance analysis."), fluxes(core, d),
      ...heading("Flux ranges", "How much each reaction may vary near the optimum."), ranges(core, d),
      ...heading("Enzymes", "Turnover numbers, and what growth costs in protein."), ...kinetics(core, d),
      ...heading("Growth and other screens"), growth(core, d),
      ...heading("Essential genes"), essential(d),
      ...heading("Quality"), quality(d),
      ...heading("Files"), files(d),
    ];
  }

  return Object.assign(view, { chooser, details });
})();
