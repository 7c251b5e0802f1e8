/* Network, limits and energy: bars, histograms and the roofline, drawn with D3's scales and axes.
 */
const Charts = (() => {
  const {D, F, C, el} = R;
  const svg = (w, h) => d3.create("svg")
                            .attr("class", "chart")
                            .attr("viewBox", `0 0 ${w} ${h}`)
                            .attr("width", w)
                            .attr("height", h);
  const COMPONENT = [
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6bb1", "#999933",
    "#882255", "#44aa99", "#7f8790", "#b5a642"
  ];
  const words = name => name.replace(/_/g, " ");
  const legend = items =>
      el("div", {class: "legend-row"},
         items.map(([colour, text]) => el("span", {}, R.swatch(colour), text)));
  const pick = i => R.select({layer: R.state.layer === i ? -1 : i, core: -1});

  /* Horizontal bars, one row per layer; parts: [value, colour, title]. */
  const bars = (rows, o) => R.responsive(w => drawBars(rows, o, w));
  const drawBars = (rows, o, W) => {
    const LEFT = Math.min(o.left || 250, Math.floor(W * 0.4)), RIGHT = 86, ROW = 19, TOP = 24,
          H = TOP + rows.length * ROW + 6;
    const most = o.max || d3.max(rows, r => d3.sum(r.parts, p => p[0])) || 1;
    const x = d3.scaleLinear([0, most], [LEFT, W - RIGHT]);
    const s = svg(W, H);
    s.append("g")
        .attr("class", "axis")
        .attr("transform", `translate(0,${TOP - 4})`)
        .call(d3.axisTop(x).ticks(5).tickFormat(o.tick))
        .call(g => g.select(".domain").remove());
    s.append("g")
        .selectAll("line")
        .data(x.ticks(5))
        .join("line")
        .attr("class", "grid")
        .attr("x1", x)
        .attr("x2", x)
        .attr("y1", TOP)
        .attr("y2", H);
    const g = s.selectAll("g.row")
                  .data(rows)
                  .join("g")
                  .attr("class", "row")
                  .attr("transform", (r, i) => `translate(0,${TOP + i * ROW})`)
                  .style("cursor", r => r.layer === undefined ? null : "pointer")
                  .on("click", r => {
                    if (r.layer !== undefined) pick(r.layer);
                  });
    g.append("rect").attr("width", W).attr("height", ROW).attr("fill", "transparent");
    g.append("text")
        .attr("class", "strong")
        .attr("x", LEFT - 8)
        .attr("y", 14)
        .attr("text-anchor", "end")
        .text(r => R.fit(r.name, LEFT - 12))
        .append("title")
        .text(r => r.name);
    g.each(function(r) {
      let from = 0;
      const row = d3.select(this);
      r.parts.forEach(([v, colour, title]) => {
        if (!(v > 0)) return;
        row.append("rect")
            .attr("x", x(from))
            .attr("y", 3)
            .attr("height", ROW - 6)
            .attr("width", Math.max(0.5, x(from + v) - x(from)))
            .attr("fill", colour)
            .append("title")
            .text(title);
        from += v;
      });
      row.append("text").attr("x", x(from) + 6).attr("y", 14).text(r.label);
    });
    return s.node();
  };
  const histogram = (values, o) => R.responsive(w => drawHistogram(values, o, w), 760);
  const drawHistogram = (values, o, W) => {
    const H = o.height || 150, M = {l: 40, r: 26, t: 8, b: 34};
    const x = d3.scaleLinear(o.domain || [0, d3.max(values) || 1], [M.l, W - M.r]);
    const bins =
        d3.histogram()
            .domain(x.domain())
            .thresholds(d3.range(1, o.bins || 25).map(i => x.domain()[1] * i / (o.bins || 25)))(
                values);
    const y = d3.scaleLinear([0, d3.max(bins, b => b.length) || 1], [H - M.b, M.t]);
    const s = svg(W, H);
    s.append("g")
        .attr("class", "axis")
        .attr("transform", `translate(0,${H - M.b})`)
        .call(d3.axisBottom(x).ticks(4).tickFormat(o.tick).tickSizeOuter(0));
    s.append("g")
        .attr("class", "axis")
        .attr("transform", `translate(${M.l},0)`)
        .call(d3.axisLeft(y).ticks(3).tickFormat(R.short).tickSizeOuter(0))
        .call(g => g.select(".domain").remove());
    s.append("text").attr("x", W - M.r).attr("y", H - 3).attr("text-anchor", "end").text(o.label);
    s.selectAll("rect")
        .data(bins)
        .join("rect")
        .attr("x", b => x(b.x0) + 0.5)
        .attr("width", b => Math.max(1, x(b.x1) - x(b.x0) - 1))
        .attr("y", b => y(b.length))
        .attr("height", b => y(0) - y(b.length))
        .attr("fill", b => R.scale((b.x0 + b.x1) / 2 / x.domain()[1]))
        .append("title")
        .text(b => `${b.length} ${o.what} from ${o.tick(b.x0)} to ${o.tick(b.x1)}`);
    return s.node();
  };

  /* ---- network ---- */
  const network = () => {
    if (!Plan.links.length) {
      R.put(
          "network-body",
          el("div", {class: "panel"},
             R.empty(
                 D.links ?
                     "No messages between routers: the whole network lies on the cores of one router." :
                     "The folder holds no loads of links. Compile it again with this version, or simulate it:",
                 D.links ? null : R.COMMANDS.simulate)));
      return;
    }
    const loads = Plan.links.map(l => l.load), busiest = Plan.links.slice(-12).reverse(),
          over = Plan.links.filter(l => l.over);
    const place = D.mapping.placement || {};
    const rows = busiest.map(
        l =>
            el("tr", {},
               el("td", {},
                  el("button", {
                    type: "button",
                    class: "link",
                    onclick: () => {
                      Plan.setLinks(true);
                      R.show("floorplan");
                      Plan.focusChip(l.chip);
                    }
                  },
                     `chip ${l.chip}, router (${l.x}, ${l.y})`)),
               el("td", {}, l.direction + (l.over ? ", to the next chip" : "")),
               el("td", {class: "num"}, R.num(l.load)),
               el("td", {class: "num"}, R.percent(l.load / Plan.mostLoad))));
    R.put(
        "network-body",
        el("p", {class: "lead"},
           `Messages per image over the links between neighbouring routers, ${
               R.perImage}; routes go along x first, then y. `,
           el("button", {
             type: "button",
             class: "link",
             onclick: () => {
               Plan.setLinks(true);
               Plan.fitAll(true);
               R.show("floorplan");
             }
           },
              "Show the heat map of link loads on the floor plan")),
        el("div", {class: "columns"},
           R.panel(
               "Loads of links",
               `${Plan.links.length.toLocaleString("en")} links carry messages, ${
                   over.length.toLocaleString("en")} of them from chip to chip; on average ${
                   R.num(d3.mean(loads))}, at most ${R.num(d3.max(loads))} messages.`,
               histogram(loads, {
                 height: 200,
                 bins: 40,
                 tick: R.short,
                 label: "messages per image",
                 what: "links"
               }),
               el("dl", {class: "left"},
                  [
                    ["Routing", place.routing || "–"], ["Placed by", place.placer || "–"],
                    ["Messages between cores per frame", R.num(place.messages)],
                    ["of them from chip to chip", R.num(place.messages_over_chips)],
                    ["Average way", R.num(place.average_hop) + " hops"],
                    ["Longest way", R.num(place.max_hop) + " hops"]
                  ].map(([k, v]) => [el("dt", {}, k), el("dd", {}, v)]))),
           R.panel(
               "Busiest links", null,
               el("table", {class: "plain"},
                  el("thead", {},
                     el("tr", {}, el("th", {}, "From"), el("th", {}, "Direction"),
                        el("th", {class: "num"}, "Messages/image"),
                        el("th", {class: "num"}, "of the busiest"))),
                  el("tbody", {}, rows)))));
  };

  /* ---- limits ---- */
  const need = l => d3.range(R.LIMITED).map(i => D.limit[i] ? l[i] / D.limit[i] : 0);
  const binding = () => {
    const all = need(D.total), names = D.figures.slice(0, R.LIMITED).map(f => f.label), used = C.n;
    const colour = d3.range(R.LIMITED).map(i => COMPONENT[i]);
    const rows = all.map((v, i) => ({
                           name: names[i],
                           parts: [[v, colour[i], `${names[i]}: ${R.num(v)} cores would be full`]],
                           label: `${d3.format(",.1f")(v)} cores`
                         }));
    const p = D.mapping.partition || {};
    const layerRows = D.layers.map((l, i) => ({l, i, n: need(l.figures)}))
                          .filter(r => r.l.cores + r.l.guests > 0);
    const most = Math.max(1, d3.max(layerRows, r => d3.max(r.n)));
    return [
      R.panel(
          "What the number of cores comes from",
          `Cores that each resource alone would fill: the sum over all cores divided by the limit of one. ${
              used.toLocaleString("en")} cores are in use${
              p.lower_bound ? `; no partition of this network has fewer than ${
                                  p.lower_bound.toLocaleString("en")}` :
                              ""}. The longest bar binds.`,
          bars(rows, {left: 130, max: used, tick: d3.format(",.0f")})),
      R.panel(
          "What binds in each layer",
          "The resource that would fill most cores, of each layer; the bar is that number of cores, its colour the resource. Click a row to see the layer's cores.",
          legend(names.map((n, i) => [colour[i], n])),
          el("div", {
            class: "scroll",
            tabindex: 0,
            role: "region",
            "aria-label": "Binding resource of each layer"
          },
             bars(
                 layerRows.map(r => {
                   const b = r.n.indexOf(d3.max(r.n));
                   return {
                     layer: r.i,
                     name: r.l.name,
                     parts: [[
                       r.n[b], colour[b],
                       r.n.map((v, i) => `${names[i]} ${d3.format(",.2f")(v)} cores`).join("; ")
                     ]],
                     label: d3.format(",.1f")(r.n[b])
                   };
                 }),
                 {max: most, tick: d3.format(",.0f")})))
    ];
  };
  const distributions = () => el("div", {class: "columns"}, d3.range(R.LIMITED).map(i => {
    const v = [];
    for (let c = 0; c < C.n; c++) {
      const s = R.share(c, i);
      if (!Number.isNaN(s)) v.push(s);
    }
    const f = D.figures[i], l = D.limits[i];
    if (!v.length) return R.panel(f.label, "The target states no limit.");
    return R.panel(
        f.label, `limit ${R.figure(i, D.limit[i])} per core, ${l.basis || "no basis given"}`,
        histogram(v, {
          domain: [0, Math.max(1, d3.max(v))],
          tick: R.percent,
          label: "share of the limit of a core",
          what: "cores"
        }));
  }));
  /* Neurons that a core can hold against the synaptic memory of each: no more than its
   * compartments, and no more than its memory divided by what one neuron takes. */
  const capacity = () => {
    const most = D.limit[F.neurons], memory = D.limit[F.synapse_bits], points = [];
    if (!most || !memory)
      return R.panel(
          "Roofline of limits", null,
          R.empty("The target states no limit of neurons or of synaptic memory."));
    let without = 0;
    for (let i = 0; i < C.n; i++) {
      const n = R.value(i, F.neurons), b = R.value(i, F.synapse_bits);
      if (C.engine[i] || !(n > 0)) continue;
      if (b > 0) points.push({i, x: b / n, y: n});
      else without++;
    }
    if (!points.length)
      return R.panel("Roofline of limits", null, R.empty("No core holds synapses."));
    const ridge = memory / most;
    const draw = W => {
      const H = 330, M = {l: 64, r: 18, t: 20, b: 46}, s = svg(W, H);
      const x = d3.scaleLog(
          [
            Math.min(d3.min(points, p => p.x), ridge) / 1.6,
            Math.max(d3.max(points, p => p.x), ridge) * 1.8
          ],
          [M.l, W - M.r]);
      const y = d3.scaleLog(
          [Math.min(d3.min(points, p => p.y), memory / x.domain()[1]) / 1.5, most * 1.4],
          [H - M.b, M.t]);
      s.append("g")
          .attr("class", "axis")
          .attr("transform", `translate(0,${H - M.b})`)
          .call(d3.axisBottom(x).ticks(6, "~s"));
      s.append("g")
          .attr("class", "axis")
          .attr("transform", `translate(${M.l},0)`)
          .call(d3.axisLeft(y).ticks(5, "~s"));
      s.append("text")
          .attr("x", W - M.r)
          .attr("y", H - 8)
          .attr("text-anchor", "end")
          .text("bits of synaptic memory per neuron");
      s.append("text")
          .attr("transform", `translate(14,${M.t})rotate(-90)`)
          .attr("text-anchor", "end")
          .text("neurons of a core");
      s.append("path")
          .attr("d", d3.line()([
            [x.range()[0], y(most)], [x(ridge), y(most)], [x.range()[1], y(memory / x.domain()[1])]
          ]))
          .attr("fill", "none")
          .attr("stroke", "currentColor")
          .attr("stroke-width", 1.6);
      s.append("text")
          .attr("class", "strong")
          .attr("x", M.l + 6)
          .attr("y", y(most) - 6)
          .text(`${R.num(most)} neurons`);
      s.append("text")
          .attr("class", "strong")
          .attr("x", W - M.r)
          .attr("y", y(most) - 6)
          .attr("text-anchor", "end")
          .text(`slope: ${R.bits(memory)} of memory`);
      s.append("g")
          .selectAll("circle")
          .data(points)
          .join("circle")
          .attr("cx", p => x(p.x))
          .attr("cy", p => y(p.y))
          .attr("r", C.n > 2000 ? 1.9 : 3.2)
          .attr("fill", p => D.layers[R.mainLayer[p.i]].colour)
          .attr("fill-opacity", 0.75)
          .style("cursor", "pointer")
          .on("click",
              p => {
                R.select({core: p.i, layer: -1});
                Plan.focusCore(p.i);
                R.show("floorplan");
              })
          .append("title")
          .text(
              p => `core ${p.i}, ${R.layerName(R.mainLayer[p.i])}: ${R.num(p.y)} neurons, ${
                  R.num(p.x)} bits each`);
      return s.node();
    };
    return R.panel(
        "Roofline of limits",
        `Every core that holds synapses${
            without ? ` (${R.num(without)} hold none)` : ""}. Left of the ridge at ${
            R.num(
                ridge)} bits per neuron, compartments bind, right of it synaptic memory. A core below the roof is cut by a shape that does not divide, by axons, or is the last of its layer.`,
        R.responsive(draw, 900));
  };
  /* Attainable events of a core against events per update: a core that spends t_u on an update and
   * t_s on an event cannot do more than 1 / t_s events, nor more than (events per update) / t_u. */
  const roofline = () => {
    const t = Object.fromEntries(D.times.map(x => [x.name, x])), ts = t.synaptic_op,
          tu = t.neuron_inactive;
    if (!ts || ts.value === null || !tu || tu.value === null || !R.known(F.busy_ns))
      return R.panel(
          "Roofline of time", null,
          R.empty(`Nobody has published how long ${
              D.cost
                  .target} takes for a synaptic event or a neuron update, so there is no roofline of time: on this target layers compare by cores, steps and events. 'spikec target show ${
              D.cost.target}' lists what is known.`));
    const busiest = d3.max(C.figures[F.busy_ns]);
    const points = [];
    for (let i = 0; i < C.n; i++) {
      const e = R.value(i, F.synaptic_events), u = R.value(i, F.neuron_updates),
            b = R.value(i, F.busy_ns);
      if (e > 0 && u > 0) points.push({i, x: e / u, y: e / busiest, b});
    }
    if (!points.length)
      return R.panel("Roofline of time", null, R.empty("No core processes synaptic events."));
    const draw = W => {
      const H = 380, M = {l: 64, r: 18, t: 14, b: 46}, roof = 1 / ts.value,
            ridge = tu.value / ts.value;
      const x = d3.scaleLog(
          [
            Math.min(d3.min(points, p => p.x), ridge) / 2,
            Math.max(d3.max(points, p => p.x), ridge) * 2
          ],
          [M.l, W - M.r]);
      const y = d3.scaleLog(
          [Math.max(d3.min(points, p => p.y) / 2, roof * 1e-6), roof * 2], [H - M.b, M.t]);
      const s = svg(W, H), tick = d3.format("~g");
      s.append("g")
          .attr("class", "axis")
          .attr("transform", `translate(0,${H - M.b})`)
          .call(d3.axisBottom(x).ticks(6, tick));
      s.append("g")
          .attr("class", "axis")
          .attr("transform", `translate(${M.l},0)`)
          .call(d3.axisLeft(y).ticks(6, tick));
      s.append("text")
          .attr("x", W - M.r)
          .attr("y", H - 8)
          .attr("text-anchor", "end")
          .text("synaptic events per neuron update");
      s.append("text")
          .attr("transform", `translate(14,${M.t})rotate(-90)`)
          .attr("text-anchor", "end")
          .text("synaptic events of a core per ns");
      const line = (x0, y0, x1, y1) => s.append("line")
                                           .attr("x1", x(x0))
                                           .attr("y1", y(y0))
                                           .attr("x2", x(x1))
                                           .attr("y2", y(y1))
                                           .attr("stroke", "currentColor")
                                           .attr("stroke-width", 1.6);
      const from = Math.max(x.domain()[0], y.domain()[0] * tu.value);
      line(from, from / tu.value, ridge, roof);
      line(ridge, roof, x.domain()[1], roof);
      s.append("text")
          .attr("class", "strong")
          .attr("x", W - M.r - 4)
          .attr("y", y(roof) - 6)
          .attr("text-anchor", "end")
          .text(`events: 1 per ${ts.value} ns (${ts.basis})`);
      s.append("text")
          .attr("class", "strong")
          .attr("x", M.l + 8)
          .attr("y", M.t + 10)
          .text(`slope: updates, 1 per ${tu.value} ns (${tu.basis})`);
      s.append("g")
          .selectAll("circle")
          .data(points)
          .join("circle")
          .attr("cx", p => x(p.x))
          .attr("cy", p => y(Math.max(p.y, y.domain()[0])))
          .attr("r", C.n > 2000 ? 1.8 : 3.2)
          .attr("fill", p => D.layers[R.mainLayer[p.i]].colour)
          .attr("fill-opacity", 0.8)
          .style("cursor", "pointer")
          .on("click",
              p => {
                R.select({core: p.i, layer: -1});
                Plan.focusCore(p.i);
                R.show("floorplan");
              })
          .append("title")
          .text(
              p => `core ${p.i}, ${R.layerName(R.mainLayer[p.i])}: ${
                  R.num(p.x)} events per update, busy ${R.time(p.b)} per image`);
      return s.node();
    };
    return R.panel(
        "Roofline of time",
        `Every core that processes events, in the time of the busiest one (${
            R.time(busiest)} per image, ${R.perImage}). Below the ridge at ${
            d3.format(".2~f")(
                tu.value /
                ts.value)} events per update, updating neurons binds, above it, processing synapses. The height under the roof is time in which a core waits for the busiest; barriers and messages are not in it.`,
        R.responsive(draw, 900));
  };
  const limits = () => {
    const [all, each] = binding();
    R.put(
        "limits-body",
        el("div", {class: "columns"}, R.stack(all, each), R.stack(capacity(), roofline())),
        distributions());
  };

  /* ---- energy ---- */
  const energy = () => {
    const priced = D.energies.map((e, i) => ({...e, i})).filter(e => e.value !== null), out = [];
    const perLayer = D.layers.some(l => l.energy.some(v => v > 0));
    if (!priced.length) {
      out.push(el(
          "div", {class: "panel"},
          R.empty(`Nobody has published an energy of ${
              D.cost
                  .target}; none is made up here. What happens is counted: synaptic events per layer, ${
              R.perImage}.`)));
      const rows = D.layers
                       .map((l, i) => ({
                              layer: i,
                              name: l.name,
                              parts: [[
                                l.figures[F.synaptic_events] || 0, l.colour,
                                `${R.num(l.figures[F.synaptic_events])} events per image`
                              ]],
                              label: R.short(l.figures[F.synaptic_events] || 0)
                            }))
                       .filter(r => r.parts[0][0] > 0);
      if (rows.length)
        out.push(R.panel(
            "Synaptic events by layer", "events per image",
            el("div", {
              class: "scroll",
              tabindex: 0,
              role: "region",
              "aria-label": "Synaptic events by layer"
            },
               bars(rows, {tick: R.short}))));
    } else {
      const known = D.total_energy.some(v => v !== null), sum = D.total[F.energy];
      const rows = priced.map(e => {
        const v = D.total_energy[e.i];
        return el(
            "tr", {}, el("td", {}, R.swatch(COMPONENT[e.i]), words(e.name)),
            el("td", {class: "num"}, `${e.value} pJ`), el("td", {}, e.basis),
            el("td", {class: "num"}, v === null ? "–" : R.num(v / e.value)),
            el("td", {class: "num"}, R.energy(v)),
            el("td", {class: "num"}, v === null || !sum ? "–" : R.percent(v / sum)),
            el("td", {}, e.source));
      });
      rows.push(
          el("tr", {}, el("th", {}, "sum of what is priced"), el("td"), el("td"), el("td"),
             el("th", {class: "num"}, R.energy(sum)), el("td"), el("td")));
      out.push(R.panel(
          "By component", `Per image, ${R.perImage}; static power is not in it.`,
          el("div", {class: "scroll"},
             el("table", {class: "plain"},
                el("thead", {},
                   el("tr", {},
                      [
                        "Component", "Price", "Basis", "Events/image", "Energy/image", "Share",
                        "Source of the price"
                      ]
                          .map(
                              (t, i) => el(
                                  "th", {class: i === 1 || (i > 2 && i < 6) ? "num" : null}, t)))),
                el("tbody", {}, rows)))));
      if (perLayer)
        out.push(R.panel(
            "By layer",
            "Energy per image of each layer's part of its cores. Click a row to see the cores.",
            legend(priced.filter(e => D.total_energy[e.i] > 0)
                       .map(e => [COMPONENT[e.i], words(e.name)])),
            el("div",
               {class: "scroll", tabindex: 0, role: "region", "aria-label": "Energy by layer"},
               bars(
                   D.layers
                       .map((l, i) => ({
                              layer: i,
                              name: l.name,
                              parts: priced.map(
                                  e =>
                                      [l.energy[e.i] || 0, COMPONENT[e.i],
                                       `${words(e.name)}: ${R.energy(l.energy[e.i])}`]),
                              label: R.energy(d3.sum(l.energy))
                            }))
                       .filter(r => d3.sum(r.parts, p => p[0]) > 0),
                   {tick: R.energy}))));
      if (!known)
        out.push(
            el("div", {class: "panel"},
               R.empty(
                   "The folder holds no energies by component yet. This adds them:",
                   R.COMMANDS.simulate)));
    }
    const paper = D.cost.paper_energy, notes = [];
    const unpriced = D.cost.unpriced || [];
    if (unpriced.length)
      notes.push(R.panel(
          "Without a published energy",
          `${R.simulated ? "These occurred and are" : "These are"} in no sum.`,
          el("p", {}, unpriced.map(words).join(", "))));
    if (paper)
      notes.push(R.panel("The papers' compute-only figure", paper.label, el("dl", {class: "left"}, [
                           ["Energy per image", d3.format(".4~g")(paper.E_mJ) + " mJ"],
                           ["Multiply-accumulates", R.num(paper.MACs_float)],
                           ["Synaptic operations", R.num(paper.SOPs)]
                         ].map(([k, v]) => [el("dt", {}, k), el("dd", {}, v)]))));
    if (notes.length) out.push(el("div", {class: "columns"}, notes));
    R.put("energy-body", out);
  };
  return {network, limits, energy, bars, svg, legend, words};
})();
