/* Puts the page together: heading, overview, side panel of the floor plan, origin; theme and
 * navigation. */
(() => {
  const {D, F, C, el} = R, P = D.mapping, O = P.provenance || {};
  const stat = Activity.stat, n = d3.format(",");

  /* ---- heading ---- */
  const name = R.model.replace(/\.(spk|sir)$/, "");
  document.title = `${name} on ${P.target} · spikec report`;
  document.getElementById("title").textContent = `${name} on ${P.target}`;
  document.getElementById("subtitle").textContent = `${n(C.n)} core${C.n === 1 ? "" : "s"} on ${
      D.chips.length} chip${D.chips.length === 1 ? "" : "s"} (${P.system}) · ${D.description}`;
  const themes = ["light", "dark"], button = document.getElementById("theme");
  const setTheme = t => {
    document.documentElement.dataset.theme = t;
    button.textContent = t === "dark" ? "Light" : "Dark";
    R.events.call("theme");
  };
  button.addEventListener(
      "click", () => setTheme(themes[1 - themes.indexOf(document.documentElement.dataset.theme)]));
  document.documentElement.dataset.theme =
      matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";

  /* ---- overview ---- */
  const overview = () => {
    const hints = [];
    if (!R.simulated)
      hints.push(
          el("div", {class: "hint"},
             el("p", {},
                `Not simulated yet: what cores do is ${
                    R.perImage}. Measured figures, energies by component and spikes come with:`),
             el("pre", {}, R.COMMANDS.simulate)));
    if (!D.verify)
      hints.push(el(
          "div", {class: "hint"},
          el("p", {},
             "Not verified yet. Whether the mapped network fires the model's spikes is shown by:"),
          el("pre", {}, R.COMMANDS.verify)));
    R.put("hints", hints);
    const p = P.partition || {}, t = D.total, v = D.verify;
    const tiles = [
      stat("Cores", n(C.n), p.lower_bound ? `no partition has fewer than ${n(p.lower_bound)}` : ""),
      stat(
          "Chips", n(D.chips.length),
          `${P.system}, mesh of ${D.mesh.cores.join(" × ")} cores each`),
      stat("Neurons", R.short(t[F.neurons]), `${n(t[F.neurons])} compartments`),
      stat("Synaptic memory", R.bits(t[F.synapse_bits]), `${n(t[F.synapses])} stored weights`),
      stat(
          "Latency", `${n(P.latency_steps)} steps`,
          `${n(P.interval_steps)} steps from image to image, ${n(P.ticks_per_step)} tick${
              P.ticks_per_step === 1 ? "" : "s"} a step`),
      stat("Time steps", n(P.timesteps), `attention: ${P.attention}`),
      stat("Messages", R.short(t[F.messages]), `per image, ${R.perImage}`),
      stat(
          "Energy", t[F.energy] === null ? "–" : R.energy(t[F.energy]),
          t[F.energy] === null ? `nothing is published for ${P.target}` :
                                 `per image, the part that has a price, ${R.perImage}`)
    ];
    const bad =
        v && v.mismatches + v.sum_mismatches + v.logit_mismatches + v.spikes_outside_windows > 0;
    tiles.push(stat(
        "Verified", v ? bad ? "differs" : "equal" : "not yet",
        v ? `${n(v.values_compared)} values, ${n(v.mismatches)} mismatches` : "see above",
        v ? bad ? "bad" : "good" : null));
    if (v && v.top1_mapped !== undefined)
      tiles.push(stat(
          "Top-1", d3.format(".2f")(v.top1_mapped * 100) + " %",
          `of the mapped network on ${v.images} images`));
    R.put("stats", tiles);
    const u = p.utilisation || {};
    const rows = D.figures.slice(0, R.LIMITED).filter(f => u[f.key]).map(f => {
      const m = el("div", {class: "meter"}, el("i"));
      m.firstChild.style.width = Math.min(100, u[f.key].mean * 100) + "%";
      return [
        el("dt", {}, f.label),
        el("dd", {},
           `mean ${R.percent(u[f.key].mean)}, fullest core ${
               R.percent(u[f.key].max)}, fullest of the four in ${
               n(u[f.key].fullest_in_cores)} core${u[f.key].fullest_in_cores === 1 ? "" : "s"}`),
        m
      ];
    });
    const at = R.put(
        "fill", el("h3", {}, "How full the cores are"), rows.length ? el("dl", {}, rows) : null);
    at.hidden = !rows.length;
  };

  /* ---- side panel ---- */
  const layerButton = i => {
    const on = R.state.layer === i;
    const choose = () => R.select({layer: on ? -1 : i, core: -1});
    const attributes = {type: "button", class: "link", "aria-pressed": String(on), onclick: choose};
    return el("button", attributes, D.layers[i].name);
  };
  const coreDetail = i => {
    const tiles = R.tilesOf(i), rows = [];
    for (let k = 0; k < R.LIMITED; k++) {
      const share = R.share(i, k), m = el("div", {class: "meter"}, el("i"));
      m.firstChild.style.width = Math.min(100, (share || 0) * 100) + "%";
      rows.push(
          el("dt", {}, D.figures[k].label),
          el("dd", {},
             `${R.figure(k, R.value(i, k))}${
                 R.limit(i, k) ? ` of ${R.figure(k, R.limit(i, k))} (${R.percent(share)})` : ""}`),
          m);
    }
    D.figures.forEach((f, k) => {
      if (k >= R.LIMITED && R.known(k))
        rows.push(el("dt", {}, f.label), el("dd", {}, R.figure(k, R.value(i, k))));
    });
    const range = (r, word) =>
        r[1] - r[0] === 1 ? `${word} ${r[0]}` : `${word}s ${r[0]}–${r[1] - 1}`;
    return [
      el("h3", {}, `Core ${i}${C.engine[i] ? ", attention engine" : ""}`),
      el("p", {class: "note"},
         `chip ${C.chip[i]}, x ${C.x[i]}, y ${C.y[i]}; activity per image, ${R.perImage}`),
      (R.pins.get(i) || []).map(p => el("p", {class: "note"}, `Pinned: ${p}`)),
      el("dl", {}, rows),
      el("div", {class: "tags"},
         tiles.slice(0, 12).map(
             t =>
                 el("div", {}, R.swatch(D.layers[t.layer].colour),
                    el("button", {
                      type: "button",
                      class: "link",
                      onclick: () => R.select({layer: t.layer, core: -1})
                    },
                       D.layers[t.layer].name),
                    el("div", {class: "note"},
                       `${n(t.neurons)} neurons: ${range(t.rows, "row")}, ${
                           range(t.columns, "column")}, ${range(t.channels, "channel")}`))),
         tiles.length > 12 ? el("div", {class: "note"}, `and ${tiles.length - 12} more tiles`) :
                             null),
      el("hr")
    ];
  };
  const layerDetail = i => {
    const l = D.layers[i], rows = [
      ["Kind", l.kind + (l.attention && l.attention !== l.kind ? `, ${l.attention}` : "")],
      ["Shape", `${l.shape.join(" × ")}`], ["First step", n(l.start)],
      ["Cores", `${n(l.cores)}${l.guests ? ` and ${n(l.guests)} as a guest` : ""}`]
    ];
    D.figures.forEach((f, k) => {
      if (l.figures[k] !== null) rows.push([f.label, R.figure(k, l.figures[k])]);
    });
    const end = ([s, delay]) => {
      const late = delay ? ` (${delay} late)` : "";
      return el("div", {}, R.swatch(D.layers[s].colour), layerButton(s), late);
    };
    const ends = (list, word) => {
      if (!list.length) return [];
      return [el("p", {class: "note"}, word), el("div", {class: "tags"}, list.map(end))];
    };
    const readers = [];
    D.layers.forEach((q, k) => q.sources.forEach(([s, delay]) => {
      if (s === i) readers.push([k, delay]);
    }));
    return [
      el("h3", {}, R.swatch(l.colour), l.name),
      el("dl", {}, rows.map(([k, v]) => [el("dt", {}, k), el("dd", {}, v)])),
      ...ends(l.sources, "Reads"), ...ends(readers, "Read by"),
      el("p", {},
         el("button", {type: "button", onclick: () => R.select({layer: -1, core: -1})},
            "Clear the selection")),
      el("hr")
    ];
  };
  const opened = new Set();
  const legend = () => {
    const groups = D.groups.map(
        (g, k) => ({g, k, layers: D.layers.map((l, i) => i).filter(i => D.layers[i].group === k)}));
    return [
      el("h3", {}, "Layers"), el("p", {class: "note"}, "Choose one to see its cores alone."),
      ...groups.map(({g, k, layers}) => {
        const strip = el("span", {class: "strip"}, layers.map(i => {
          const s = el("i");
          s.style.background = D.layers[i].colour;
          return s;
        }));
        const cores = d3.sum(layers, i => D.layers[i].cores);
        const item = i => el("li", {}, R.swatch(D.layers[i].colour), layerButton(i));
        const heading = el("summary", {}, strip, `${g} (${n(cores)})`);
        const list = el("ul", {}, layers.map(item));
        const d = el("details", {class: "legend-group"}, heading, list);
        d.open = opened.has(k);
        d.addEventListener("toggle", () => {
          if (d.open) opened.add(k);
          else opened.delete(k);
        });
        return d;
      })
    ];
  };
  const side = () => {
    const {core, layer} = R.state;
    document.getElementById("plan-live").textContent = layer >= 0 ?
        `${D.layers[layer].name}, ${D.layers[layer].cores} cores` :
        core >= 0 ? `Core ${core}, chip ${C.chip[core]}, ${R.layerName(R.mainLayer[core])}` :
                    "";
    R.put("plan-detail", layer >= 0 ? layerDetail(layer) : core >= 0 ? coreDetail(core) : []);
    R.put("plan-legend", legend());
    document.getElementById("plan-layer").value = layer;
  };

  /* ---- origin ---- */
  const copy = text =>
      el("div", {class: "copy"}, el("pre", {}, text),
         el("button", {
           type: "button",
           onclick: e => {
             const b = e.target, done = ok => {
               b.textContent = ok ? "Copied" : "Select it";
               setTimeout(() => {
                 b.textContent = "Copy";
               }, 1500);
             };
             if (navigator.clipboard)
               navigator.clipboard.writeText(text).then(() => done(true), () => done(false));
             else done(false);
           }
         },
            "Copy"));
  const origin = () => {
    const commands = [
      ["Compiled by", O.command_line], ["Simulated by", D.cost.command_line],
      ["Verified by", (D.verify || {}).command_line]
    ].filter(c => c[1]);
    const hashes = [
      ["spikec", O.spikec || D.version], ["Model", `${O.model || "–"}`],
      ["SHA-256 of the model", O.model_sha256], ["SHA-256 of the weights", O.weights_sha256],
      ["Target", `${P.target} (${P.system})`], ["SHA-256 of the target", O.target_sha256],
      ["Constraints", (P.constraints || {}).file],
      ["SHA-256 of the constraints", (P.constraints || {}).sha256],
      ["Settings", (O.settings || []).join(", ") || "none"], ["Attention", P.attention],
      [
        "Calibration images",
        O.calibration_images === undefined ? undefined : n(O.calibration_images)
      ],
      ["Seed", String(P.seed)], ["Report made by", `spikec ${D.version}`]
    ];
    const constants = [
      ...D.limits.map(c => ({...c, kind: "limit", unit: ""})),
      ...D.energies.map(c => ({...c, kind: "energy", unit: " pJ"})),
      ...D.times.map(c => ({...c, kind: "time", unit: " ns"}))
    ];
    const table =
        el("table", {class: "plain"},
           el("thead", {},
              el("tr", {},
                 ["Constant", "Value", "Basis", "Source"].map(
                     (t, i) => el("th", {class: i === 1 ? "num" : null}, t)))),
           el("tbody", {},
              constants.map(
                  c =>
                      el("tr", {}, el("td", {}, `${c.kind}: ${Charts.words(c.name)}`),
                         el("td", {class: "num"}, c.value === null ? "–" : n(c.value) + c.unit),
                         el("td", {}, c.basis || "not published"), el("td", {}, c.source || "")))));
    R.put(
        "origin-body",
        el("div", {class: "columns"},
           R.panel(
               "Commands", "Files stand without their folders, the compiled folder is DIR.",
               commands.map(([k, c]) => el("div", {}, el("p", {class: "note"}, k), copy(c)))),
           R.panel(
               "Hashes and versions", null,
               el("dl", {class: "left"},
                  hashes.filter(h => h[1]).map(
                      ([k, v]) => [el("dt", {}, k), el("dd", {}, el("code", {}, v))])))),
        R.panel(
            "Constants of the target",
            "As the chip description that lies in the folder states them; what is not published stays empty and is in no sum.",
            el("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "Constants"},
               table)),
        el("p", {class: "note"},
           "Drawn with D3 (Mike Bostock, BSD 3-Clause licence, whose text stands in this file's source). This page loads nothing from the network."));
  };

  /* ---- controls ---- */
  const by = document.getElementById("plan-by"), layer = document.getElementById("plan-layer"),
        chip = document.getElementById("plan-chip"), links = document.getElementById("plan-links");
  Plan.options.forEach(o => by.append(el("option", {value: o.key}, o.label)));
  layer.append(
      el("option", {value: -1}, "all"),
      ...D.layers.map((l, i) => el("option", {value: i}, l.name)));
  chip.append(
      el("option", {value: ""}, D.chips.length > 1 ? "all" : "the only one"),
      ...D.chips.map(c => el("option", {value: c.id}, `chip ${c.id}`)));
  by.addEventListener("change", () => Plan.setBy(by.value));
  layer.addEventListener("change", () => R.select({layer: Number(layer.value), core: -1}));
  chip.addEventListener("change", () => {
    if (chip.value === "") Plan.fitAll(true);
    else Plan.focusChip(Number(chip.value));
  });
  links.disabled = Plan.links.length === 0;
  links.addEventListener("change", () => Plan.setLinks(links.checked));
  document.getElementById("plan-in").addEventListener("click", () => Plan.zoomBy(1.5));
  document.getElementById("plan-out").addEventListener("click", () => Plan.zoomBy(1 / 1.5));
  document.getElementById("plan-fit").addEventListener("click", () => {
    chip.value = "";
    Plan.fitAll(true);
  });

  setTheme(document.documentElement.dataset.theme);
  overview();
  Plan.recolour();
  Plan.fitAll(false);
  Charts.network();
  Charts.limits();
  Charts.energy();
  Activity.activity();
  Activity.verification();
  Tables.layers();
  Tables.cores();
  Tables.chips();
  origin();
  side();
  R.events.on("select.side", side);

  /* the section in sight, in the navigation */
  const marks = [...document.querySelectorAll("nav a")],
        sections = marks.map(a => document.querySelector(a.getAttribute("href")));
  const mark = () => {
    let at = 0;
    sections.forEach((s, i) => {
      if (s.getBoundingClientRect().top < 160) at = i;
    });
    if (innerHeight + scrollY >= document.documentElement.scrollHeight - 4)
      at = sections.length - 1;
    marks.forEach((a, i) => {
      a.classList.toggle("here", i === at);
      if (i === at) a.setAttribute("aria-current", "true");
      else a.removeAttribute("aria-current");
    });
  };
  addEventListener("scroll", mark, {passive: true});
  mark();
  document.documentElement.dataset.ready = "1";
})();
