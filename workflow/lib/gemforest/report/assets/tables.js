/* Tables of any length: a real <table>, one page of rows at a time; TanStack Table sorts, filters and cuts. */
"use strict";
gemforest.table = (() => {
  const { el, fmt, plural, unit } = gemforest;
  const PAGE_SIZES = [25, 50, 100, 250];
  let counted = 0;

  /** `>100`, `<=5`, `1..5`, `=3`, or a part of the text. */
  function matches(value, text) {
    const wanted = text.trim();
    if (!wanted) return true;
    const range = wanted.match(/^(-?[\d.]+)\s*\.\.\s*(-?[\d.]+)$/);
    if (range) return typeof value === "number" && value >= Number(range[1]) && value <= Number(range[2]);
    const bound = wanted.match(/^(>=|<=|>|<|=)\s*(-?[\d.]+(?:e-?\d+)?)$/i);
    if (bound) {
      if (typeof value !== "number") return false;
      const limit = Number(bound[2]);
      return { ">": value > limit, "<": value < limit, ">=": value >= limit, "<=": value <= limit, "=": value === limit }[bound[1]];
    }
    return String(value ?? "").toLowerCase().includes(wanted.toLowerCase());
  }

  function byText(a, b, id) {
    return String(a.getValue(id)).localeCompare(String(b.getValue(id)), "en", { numeric: true, sensitivity: "base" });
  }

  function byNumber(a, b, id) {
    return a.getValue(id) - b.getValue(id);
  }

  /**
   * A table with its tools.
   * columns: {key, title, value(row), kind: "number" | "text" | "id" | "category", unit, doc, cell(row, value) -> node}
   * options: caption, rows, columns, filters (a filter under each column), sort [{id, desc}], pageSize, sticky, onFilter
   */
  function table({ caption, columns, rows, filters = false, sort = [], pageSize = 25, sticky = false, onFilter = null }) {
    const name = `table-${(counted += 1)}`;
    const defs = columns.map((column) => ({
      id: column.key,
      accessorFn: (row) => column.value(row) ?? undefined,
      sortUndefined: "last",
      sortingFn: column.kind === "number" ? byNumber : byText,
      sortDescFirst: column.kind === "number",
      filterFn: (row, id, text) => matches(row.getValue(id), text),
      enableGlobalFilter: true,
      getColumnCanGlobalFilter: () => true,
    }));
    const core = TableCore.createTable({
      data: rows,
      columns: defs,
      state: {},
      onStateChange: () => {},
      renderFallbackValue: null,
      globalFilterFn: (row, id, text) => String(row.getValue(id) ?? "").toLowerCase().includes(text.trim().toLowerCase()),
      getColumnCanGlobalFilter: () => true,
      autoResetPageIndex: false,
      getCoreRowModel: TableCore.getCoreRowModel(),
      getFilteredRowModel: TableCore.getFilteredRowModel(),
      getSortedRowModel: TableCore.getSortedRowModel(),
      getPaginationRowModel: TableCore.getPaginationRowModel(),
    });
    let state = { ...core.initialState, sorting: sort, pagination: { pageIndex: 0, pageSize } };
    let filtered = null;
    const change = (update) => {
      state = typeof update === "function" ? update(state) : update;
      core.setOptions((options) => ({ ...options, state }));
      render();
    };
    core.setOptions((options) => ({ ...options, state, onStateChange: change }));
    const toFirstPage = (more) => change({ ...state, ...more, pagination: { ...state.pagination, pageIndex: 0 } });

    const head = columns.map((column) => {
      const arrow = el("span", { class: "arrow", "aria-hidden": "true" });
      const button = el("button", { type: "button", class: "sort", title: column.doc ? column.doc.split(";")[0] : null, onclick: () => toFirstPage({ sorting: nextSort(column) }) }, column.title, arrow);
      const cell = el("th", { scope: "col", class: kindClass(column) }, button, el("span", { class: "on-paper", "aria-hidden": "true" }, column.title), column.unit ? el("small", {}, unit(column.unit)) : null);
      return { cell, arrow, column };
    });
    const thead = el("thead", {}, el("tr", {}, head.map((h) => h.cell)));
    if (filters) {
      thead.append(el("tr", { class: "filters" }, columns.map((column) => el("th", { class: kindClass(column) }, el("input", {
        type: "search",
        "aria-label": `filter ${column.title}`,
        placeholder: column.kind === "number" ? ">, <, 1..5" : "filter",
        oninput: (event) => {
          const others = state.columnFilters.filter((f) => f.id !== column.key);
          toFirstPage({ columnFilters: event.target.value ? [...others, { id: column.key, value: event.target.value }] : others });
        },
      })))));
    }
    const tbody = el("tbody");
    const count = el("span", { class: "count", role: "status" });
    const pages = el("span");
    const step = (by) => change({ ...state, pagination: { ...state.pagination, pageIndex: state.pagination.pageIndex + by } });
    const back = el("button", { type: "button", onclick: () => step(-1) }, "Previous");
    const forth = el("button", { type: "button", onclick: () => step(1) }, "Next");
    const sizes = el("select", { "aria-label": "rows per page", onchange: () => toFirstPage({ pagination: { pageIndex: 0, pageSize: Number(sizes.value) } }) },
      [...new Set([...PAGE_SIZES, pageSize])].sort((a, b) => a - b).map((n) => el("option", { value: n, selected: n === pageSize }, `${n} rows`)));
    const pager = el("div", { class: "pager" }, el("span", { class: "grow" }, pages), back, forth, sizes);
    const search = el("input", { type: "search", placeholder: "Search all columns", "aria-label": `Search: ${caption}`, oninput: () => toFirstPage({ globalFilter: search.value || undefined }) });
    const long = rows.length > 12;
    const tools = el("div", { class: "tools", hidden: !long && !filters }, long ? search : null, count,
      long ? el("button", { type: "button", class: "quiet", onclick: () => download() }, "Save as TSV") : null);

    function kindClass(column) {
      return { number: "n", id: "id", text: "text" }[column.kind] || null;
    }

    function nextSort(column) {
      const now = state.sorting.find((s) => s.id === column.key);
      const first = column.kind === "number";
      return [{ id: column.key, desc: now ? !now.desc : first }];
    }

    function bodyCell(column, row) {
      const value = column.value(row);
      const none = value === null || value === undefined || value === "";
      const shown = column.cell && !none ? column.cell(row, value) : fmt(value);
      const tag = column.kind === "id" ? "th" : "td";
      return el(tag, { title: tag === "th" && String(value).length > 16 ? value : null, class: [kindClass(column), none ? "none" : null].filter(Boolean).join(" ") || null, scope: tag === "th" ? "row" : null }, shown);
    }

    function render() {
      const all = core.getFilteredRowModel().rows;
      const page = core.getRowModel().rows;
      tbody.replaceChildren(...page.map((r) => el("tr", {}, columns.map((column) => bodyCell(column, r.original)))));
      for (const { cell, arrow, column } of head) {
        const now = state.sorting.find((s) => s.id === column.key);
        arrow.textContent = now ? (now.desc ? "▼" : "▲") : "";
        if (now) cell.setAttribute("aria-sort", now.desc ? "descending" : "ascending");
        else cell.removeAttribute("aria-sort");
      }
      const { pageIndex, pageSize: size } = state.pagination;
      const last = Math.max(1, Math.ceil(all.length / size));
      count.textContent = all.length === rows.length ? plural(rows.length, "row") : `${fmt(all.length)} of ${plural(rows.length, "row")}`;
      pages.textContent = `page ${fmt(pageIndex + 1)} of ${fmt(last)}`;
      back.disabled = pageIndex === 0;
      forth.disabled = pageIndex >= last - 1;
      pager.hidden = all.length <= Math.min(size, PAGE_SIZES[0]);
      if (filtered !== all) {
        filtered = all;
        if (onFilter) onFilter(all.map((r) => r.original));
      }
    }

    function download() {
      const line = (cells) => cells.map((c) => String(c ?? "").replace(/[\t\r\n]+/g, " ")).join("\t");
      const text = [line(columns.map((c) => c.title)), ...core.getSortedRowModel().rows.map((r) => line(columns.map((c) => c.value(r.original))))].join("\n");
      const link = el("a", { href: URL.createObjectURL(new Blob([`${text}\n`], { type: "text/tab-separated-values" })), download: `${caption.toLowerCase().replace(/[^a-z0-9]+/g, "-")}.tsv` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    }

    const grid = el("table", { class: `grid ${sticky ? "sticky" : ""}`, id: name }, el("caption", {}, caption), thead, tbody);
    render();
    return el("div", { class: "tablebox" }, tools, el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, grid), pager);
  }

  /** Columns of rows that are lists: [title, kind, {unit, doc, cell}] in order. */
  function listColumns(specs) {
    return specs.map(([title, kind, more = {}], place) => ({ key: `c${place}`, title, kind, value: (row) => row[place], ...more }));
  }

  return Object.assign(table, { listColumns, matches });
})();
