/* Overview: what went in, what came out, what stopped and what to do, and the facts of the run. */
"use strict";
gemforest.views.overview = (() => {
  const { el, fmt, tile, heading, median, duration, plural, percent, hrefs, table, plots } = gemforest;
  const OUTCOMES = ["ok", "refused", "failed", "timeout", "out_of_memory", "skipped_upstream"];

  function values(core, key) {
    return core.columns.find((column) => column.key === key)?.values || [];
  }

  function tiles(core) {
    const ends = values(core, "outcome");
    const ok = ends.filter((end) => end === "ok").length, unfinished = ends.filter((end) => end === "unfinished").length;
    const stopped = ends.length - ok - unfinished;
    const growth = values(core, "growth_per_h").filter((v) => v !== null);
    const threshold = core.thresholds.growth;
    const growing = growth.filter((v) => v >= threshold).length;
    const models = values(core, "reactions").filter((v) => v !== null).length;
    const total = d3.sum(core.costs, (c) => c.total_s);
    return el("div", { class: "tiles" },
      tile(fmt(ends.length), "genomes in the plan", `${plural(new Set(core.shards).size, "shard")}`),
      tile(fmt(ok), "through every stage", percent(ok / Math.max(1, ends.length), 1), "good"),
      tile(fmt(stopped), "stopped, with a reason", stopped ? "listed below" : "none lost, none stopped", stopped ? "bad" : ""),
      unfinished ? tile(fmt(unfinished), "not finished yet") : null,
      tile(fmt(median(values(core, "reactions"))), "reactions in a model", "median, exchanges included"),
      tile(fmt(median(values(core, "genes"))), "genes in a model", "median"),
      tile(fmt(median(values(core, "gapfilled"))), "gap-filled reactions", "median"),
      tile(models ? `${fmt(growing)} of ${fmt(models)}` : "–", "models grow on their medium", `from ${gemforest.tick(threshold)} h⁻¹ on`),
      tile(duration(total), "of one core, all stages", ends.length ? `${duration(total / ends.length)} per genome` : ""));
  }

  function stageTable(core) {
    const shown = OUTCOMES.filter((o) => o === "ok" || core.outcomes.some((row) => row.counts[o]));
    const unseen = core.outcomes.some((row) => row.unseen > 0);
    const cost = new Map(core.costs.map((c) => [c.stage, c]));
    const time = (key) => ({ kind: "number", value: (row) => cost.get(row.stage)?.[key], cell: (_, v) => duration(v) });
    const columns = [
      { key: "stage", title: "stage", kind: "id", value: (row) => row.stage },
      ...shown.map((o) => ({ key: o, title: o.replaceAll("_", " "), kind: "number", value: (row) => row.counts[o], cell: (_, v) => (v && o !== "ok" && o !== "skipped_upstream" ? el("span", { class: "badge bad" }, fmt(v)) : fmt(v)) })),
      ...(unseen ? [{ key: "unseen", title: "not seen yet", kind: "number", value: (row) => row.unseen }] : []),
      { key: "total", title: "core time", ...time("total_s") },
      { key: "median", title: "per genome", doc: "median of the genomes", ...time("median_s") },
      { key: "most", title: "longest", ...time("most_s") },
      { key: "peak", title: "peak memory", unit: "MB", kind: "number", value: (row) => cost.get(row.stage)?.peak_mb },
    ];
    return table({ caption: "Genomes by stage and outcome, time and memory", columns, rows: core.outcomes });
  }

  function stoppedTable(core) {
    if (!core.stopped.length) return gemforest.empty("None: every genome that was looked at went through.");
    const columns = table.listColumns([
      ["genome", "id", { cell: (row) => el("a", { href: hrefs.genome(row[0]) }, row[0]) }],
      ["stage", "category"], ["outcome", "category", { cell: (_, v) => el("span", { class: "badge bad" }, v.replaceAll("_", " ")) }],
      ["why", "text"], ["detail", "text"], ["what to do", "text"],
    ]);
    return table({ caption: "Genomes that were stopped", columns, rows: core.stopped, filters: core.stopped.length > 15 });
  }

  function cost(core) {
    const total = d3.sum(core.costs, (c) => c.total_s);
    return plots.figure("Where the time goes", `${duration(total)} of one core in all; in a stage that pools genomes, a genome's seconds are its share.`,
      (width) => plots.bars(core.costs.map((c) => ({ name: c.stage, value: c.total_s })), { label: "time of one core", width, format: duration }));
  }

  function facts(core) {
    const changed = core.config.filter((row) => row[3]).length;
    const config = table({
      caption: "Effective configuration; changed keys first",
      columns: table.listColumns([["key", "id"], ["value", "text", { cell: (_, v) => el("code", {}, v) }], ["default", "text", { cell: (_, v) => el("code", {}, v) }],
        ["changed", "category", { value: (row) => (row[3] ? "yes" : "no"), cell: (_, v) => (v === "yes" ? el("span", { class: "badge warn" }, "changed") : "–") }], ["meaning", "text"]]),
      rows: core.config,
      sort: [{ id: "c3", desc: true }],
    });
    return el("div", {},
      el("div", { class: "cards" },
        el("div", {}, table({ caption: "Tools that decided the results", columns: table.listColumns([["stage", "id"], ["tool", "text"], ["version", "text"], ["genomes", "number", { value: (r) => Number(r[3]) }]]), rows: core.versions, pageSize: 50 })),
        el("div", {}, table({ caption: "Where the genomes came from", columns: table.listColumns([["source", "id"], ["kind of file", "text"], ["genomes", "number"], ["size", "number", { unit: "MB", value: (r) => r[3] / 1e6 }]]), rows: core.sources }))),
      el("details", {}, el("summary", {}, `Configuration (${plural(changed, "key")} changed from the default)`), config),
      core.cards.map((card) => el("details", {}, el("summary", {}, card.title), el("p", {}, el("code", {}, card.path)), el("pre", {}, card.text))));
  }

  return (core) => [
    el("h1", {}, `${plural(core.genomes.length, "genome")}, ${plural(values(core, "reactions").filter((v) => v !== null).length, "metabolic model")}`),
    el("p", { class: "lead" }, `Report of a gemforest ${core.version} run. Click a genome anywhere to open its page; every table sorts by its headings.`),
    core.partial ? el("p", { class: "note warn" }, "This run is not finished; the report shows what there is.") : null,
    tiles(core),
    ...heading("Stopped genomes", "Each with the stage, the reason, and what mends it."),
    stoppedTable(core),
    ...heading("What this run did without", "Not errors: what was switched off, cut short by a limit, or stayed undecided."),
    core.remarks.length ? el("div", { class: "note" }, el("ul", {}, core.remarks.map((text) => el("li", {}, text)))) : gemforest.empty("Nothing."),
    ...heading("Stages, time and cost", "No genome is lost: at every stage the outcomes add up to the plan."),
    stageTable(core),
    el("div", { class: "below" }, core.costs.length ? cost(core) : gemforest.empty("No stage has run yet.")),
    ...heading("Run facts"),
    facts(core),
  ];
})();
