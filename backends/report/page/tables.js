/* Tables that sort and filter. Only the rows in sight are in the document, so that a table of
 * 20,000 cores scrolls like one of 20. A filter is words, or comparisons such as `chip=3` or
 * `neurons>900`. */
const Tables = (() => {
  const {D, F, C, el} = R, ROW = 26;
  const matcher = (text, columns, name) => {
    const tests = text.trim().toLowerCase().split(/\s+/).filter(t => t).map(t => {
      const m = /^([a-z_.]+)(>=|<=|=|>|<)(-?[\d.]+(?:e[+-]?\d+)?)(%?)$/.exec(t);
      const column = m && columns.find(c => c.key === m[1]);
      if (!column) return i => name(i).toLowerCase().includes(t);
      const bound = Number(m[3]) / (m[4] ? 100 : 1), op = m[2];
      return i => {
        const v = column.get(i);
        return op === ">" ? v > bound :
            op === "<"    ? v < bound :
            op === ">="   ? v >= bound :
            op === "<="   ? v <= bound :
                            Math.abs(v - bound) < 1e-9;
      };
    });
    return i => tests.every(t => t(i));
  };
  const table = (o) => {
    const state = {sort: 0, down: false, filter: "", rows: d3.range(o.count)};
    const body = el("tbody"), headers = [];
    const box = el("div", {
      class: "table-box" + (o.count < 16 ? " short" : ""),
      tabindex: 0,
      role: "region",
      "aria-label": o.label
    });
    const info = el("span", {class: "note", "aria-live": "polite"});
    const cell = (c, i) => {
      const v = c.get(i);
      return el(
          "td", {class: c.text ? "text" : null, title: c.text ? String(v) : null},
          c.mark ? c.mark(i) : null, c.text ? String(v) : c.show(v, i));
    };
    const draw = () => {
      const from = o.count < 16 ? 0 : Math.max(0, Math.floor((box.scrollTop - 60) / ROW) - 8),
            to = o.count < 16 ?
          state.rows.length :
          Math.min(state.rows.length, from + Math.ceil(box.clientHeight / ROW) + 20);
      const space = n => {
        const tr = el(
            "tr", {class: "spacer", "aria-hidden": "true"}, el("td", {colspan: o.columns.length}));
        tr.firstChild.style.height = n * ROW + "px";
        return tr;
      };
      const rows = state.rows.slice(from, to).map(
          i => el(
              "tr", {"data-row": i, class: o.chosen(i) ? "on" : null, onclick: () => o.choose(i)},
              o.columns.map(c => cell(c, i))));
      body.replaceChildren(
          ...(from > 0 ? [space(from)] : []), ...rows,
          ...(to < state.rows.length ? [space(state.rows.length - to)] : []));
    };
    const update = () => {
      const keep = matcher(state.filter, o.columns, o.name), c = o.columns[state.sort],
            sign = state.down ? -1 : 1;
      const value = i => {
        const v = c.get(i);
        return v === null || v === undefined || Number.isNaN(v) ? (c.text ? "" : -Infinity) : v;
      };
      state.rows = d3.range(o.count).filter(keep).sort((a, b) => {
        const x = value(a), y = value(b);
        return (x < y ? -1 : x > y ? 1 : 0) * sign || a - b;
      });
      headers.forEach((h, k) => {
        h.setAttribute(
            "aria-sort",
            k !== state.sort ? "none" :
                state.down   ? "descending" :
                               "ascending");
        h.querySelector(".mark").textContent = k !== state.sort ? "" : state.down ? " ↓" : " ↑";
      });
      info.textContent =
          `${state.rows.length.toLocaleString("en")} of ${o.count.toLocaleString("en")} ${o.what}`;
      draw();
    };
    o.columns.forEach((c, k) => {
      const h =
          el("th", {scope: "col", class: c.text ? "text" : null},
             el("button", {
               type: "button",
               title: `Sort by ${c.label}; in filters: ${c.key}`,
               onclick: () => {
                 state.down = state.sort === k ? !state.down : !c.text;
                 state.sort = k;
                 box.scrollTop = 0;
                 update();
               }
             },
                c.label, el("span", {class: "mark"}),
                c.unit ? el("span", {class: "unit"}, c.unit) : null));
      headers.push(h);
    });
    box.append(el("table", {}, el("thead", {}, el("tr", {}, headers)), body));
    box.addEventListener("scroll", () => requestAnimationFrame(draw), {passive: true});
    new ResizeObserver(draw).observe(box);
    box.addEventListener("keydown", e => {
      const move = {ArrowDown: 1, ArrowUp: -1}[e.key];
      if (!move || e.target !== box) return;
      e.preventDefault();
      const at = state.rows.findIndex(o.chosen),
            next = Math.min(Math.max(at + move, 0), state.rows.length - 1);
      if (state.rows.length) {
        o.choose(state.rows[next], true);
        box.scrollTop =
            Math.max(0, Math.min(box.scrollTop, next * ROW), (next + 4) * ROW - box.clientHeight);
      }
    });
    const csv = () => {
      const quote = v => /[",\n]/.test(v) ? `"${v.replace(/"/g, "\"\"")}"` : v;
      const text =
          [
            o.columns.map(c => quote(c.unit ? `${c.label} (${c.unit})` : c.label)).join(","),
            ...state.rows.map(
                i => o.columns
                         .map(c => {
                           const v = c.get(i);
                           return quote(
                               v === null || v === undefined || Number.isNaN(v) ? "" : String(v));
                         })
                         .join(","))
          ].join("\n") +
          "\n";
      const a = el(
          "a", {download: o.file, href: URL.createObjectURL(new Blob([text], {type: "text/csv"}))});
      a.click();
      setTimeout(() => URL.revokeObjectURL(a.href), 1000);
    };
    const search = el("input", {
      type: "search",
      id: o.id + "-filter",
      placeholder: o.hint,
      "aria-label": `Filter ${o.what}`,
      oninput: e => {
        state.filter = e.target.value;
        box.scrollTop = 0;
        update();
      }
    });
    R.events.on("select." + o.id, draw);
    R.put(
        o.id + "-body",
        el("div", {class: "panel flush"},
           el("div", {class: "toolbar"}, search, info, el("span", {class: "grow"}),
              el("button", {type: "button", onclick: csv}, "Save as CSV")),
           box));
    update();
  };
  const number = {show: v => R.num(v)};
  /* figures that are shown with a prefix have their unit beside every value */
  const unit = k => k === F.energy || k === F.busy_ns ? "per image" :
      k === F.synapse_bits                            ? null :
                                                        D.figures[k].unit;
  const layers = () => table({
    id: "layers",
    label: "Layers",
    what: "layers",
    count: D.layers.length,
    file: "layers.csv",
    name: i => D.layers[i].name + " " + D.layers[i].kind,
    hint: "block.3 cores>10 synaptic_events>1e6",
    chosen: i => R.state.layer === i,
    choose: (i, stay) => {
      R.select({layer: i, core: -1});
      if (!stay) Graph.reveal(i);
    },
    columns: [
      {key: "start", label: "Step", get: i => D.layers[i].start, ...number}, {
        key: "name",
        label: "Layer",
        text: true,
        get: i => D.layers[i].name,
        mark: i => R.swatch(D.layers[i].colour)
      },
      {
        key: "kind",
        label: "Kind",
        text: true,
        get: i => D.layers[i].kind +
            (D.layers[i].attention && D.layers[i].attention !== D.layers[i].kind ?
                 ", " + D.layers[i].attention :
                 "")
      },
      {
        key: "shape",
        label: "Shape",
        unit: "channels × rows × columns",
        text: true,
        get: i => D.layers[i].shape.join(" × ")
      },
      {key: "cores", label: "Cores", unit: "own", get: i => D.layers[i].cores, ...number},
      {key: "guests", label: "Guest on", unit: "cores", get: i => D.layers[i].guests, ...number}, {
        key: "rate",
        label: "Rate",
        unit: "spikes/neuron/frame",
        get: i => R.simulated ? Activity.rate(D.layers[i]) : D.layers[i].rate,
        ...number
      },
      ...D.figures
          .map((f, k) => ({
                 key: f.key,
                 label: f.label,
                 unit: unit(k),
                 get: i => D.layers[i].figures[k],
                 show: v => R.figure(k, v),
                 k
               }))
          .filter(c => D.layers.some(l => l.figures[c.k] !== null))
    ]
  });
  const cores = () => table({
    id: "cores",
    label: "Cores",
    what: "cores",
    count: C.n,
    file: "cores.csv",
    name: i => R.tilesOf(i).map(t => D.layers[t.layer].name).join(" "),
    hint: "block.3 chip=0 neurons_use<80% messages>1e4",
    chosen: i => R.state.core === i,
    choose: (i, stay) => {
      R.select({core: i, layer: -1});
      if (!stay) Plan.focusCore(i);
    },
    columns: [
      {key: "core", label: "Core", get: i => i, ...number},
      {key: "chip", label: "Chip", get: i => C.chip[i], ...number},
      {key: "x", label: "x", get: i => C.x[i], ...number},
      {key: "y", label: "y", get: i => C.y[i], ...number}, {
        key: "layer",
        label: "Layer",
        unit: "first tile",
        text: true,
        get: i => R.layerName(R.mainLayer[i]) + (C.tiles[i] > 1 ? ` + ${C.tiles[i] - 1}` : ""),
        mark: i => R.swatch(R.mainLayer[i] < 0 ? "#8a929c" : D.layers[R.mainLayer[i]].colour)
      },
      {key: "tiles", label: "Tiles", get: i => C.tiles[i], ...number},
      ...d3.range(R.LIMITED).map(k => ({
                                   key: D.figures[k].key + "_use",
                                   label: D.figures[k].label,
                                   unit: "share of limit",
                                   get: i => R.share(i, k),
                                   show: v => R.percent(v)
                                 })),
      ...D.figures
          .map((f, k) => ({
                 key: f.key,
                 label: f.label,
                 unit: unit(k),
                 get: i => R.value(i, k),
                 show: v => R.figure(k, v),
                 k
               }))
          .filter(c => R.known(c.k))
    ]
  });
  let chip = -1;
  const chips = () => table({
    id: "chips",
    label: "Chips",
    what: "chips",
    count: D.chips.length,
    file: "chips.csv",
    name: i => `chip ${D.chips[i].id}`,
    hint: "cores>100 messages_in>1e6",
    chosen: i => i === chip,
    choose: (i, stay) => {
      chip = i;
      R.events.call("select");
      if (!stay) Plan.focusChip(D.chips[i].id);
    },
    columns: [
      {key: "chip", label: "Chip", get: i => D.chips[i].id, ...number},
      {key: "cores", label: "Cores", get: i => D.chips[i].cores, ...number},
      ...D.figures
          .map((f, k) => ({
                 key: f.key,
                 label: f.label,
                 unit: unit(k),
                 get: i => D.chips[i].figures[k],
                 show: v => R.figure(k, v),
                 k
               }))
          .filter(c => D.chips.some(h => h.figures[c.k] !== null))
    ]
  });
  return {layers, cores, chips, matcher};
})();
