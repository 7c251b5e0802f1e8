/* Membranes of probed neurons over the steps of an image, with threshold and spikes; a neuron leads
 * to its core on the floor plan. */
const Probes = (() => {
  const {D, el} = R, P = D.probes, AT = 5, LEFT = 190, RIGHT = 26, HIGH = 104, TOP = 18, FIRST = 4;
  const bits = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const layers = !P ? [] : P.layers.map(l => {
    const fired = bits(l.spikes), per = P.shown * P.timesteps;
    const neurons = d3.range(l.shown).map(i => {
      const [channel, row, column, core, threshold] = l.at.slice(AT * i, AT * i + AT);
      return {i, place: `${channel}, ${row}, ${column}`, core, threshold};
    });
    /* one image of a neuron: a point for each step */
    const trace = (n, image) => d3.range(P.timesteps).map(step => {
      const k = n.i * per + image * P.timesteps + step;
      return {step, membrane: l.membrane[k], fired: (fired[k >> 3] >> (k & 7) & 1) === 1};
    });
    return {layer: l.layer, of: l.neurons, neurons, trace};
  });
  const state = {layer: 0, image: 0, on: new Set()};

  const toCore = core => {
    R.select({core, layer: -1});
    Plan.focusCore(core);
    R.show("floorplan");
  };
  const row = (s, n, points, x, colour) => {
    const values = points.map(p => p.membrane).concat(n.threshold, 0);
    const y = d3.scaleLinear(d3.extent(values), [HIGH - 8, TOP]).nice();
    const many = P.timesteps > 64;
    s.append("g")
        .attr("class", "axis")
        .attr("transform", `translate(${LEFT},0)`)
        .call(d3.axisLeft(y).ticks(3).tickFormat(R.short));
    s.append("line")
        .attr("class", "threshold")
        .attr("x1", x.range()[0])
        .attr("x2", x.range()[1])
        .attr("y1", y(n.threshold))
        .attr("y2", y(n.threshold));
    s.append("path")
        .attr("fill", "none")
        .attr("stroke", colour)
        .attr("stroke-width", 1.6)
        .attr("d", d3.line().x(p => x(p.step)).y(p => y(p.membrane))(points));
    s.append("path").attr("class", "fired").attr(
        "d", points.filter(p => p.fired).map(p => `M${x(p.step)} 2v9`).join(""));
    s.selectAll("circle")
        .data(points)
        .join("circle")
        .attr("cx", p => x(p.step))
        .attr("cy", p => y(p.membrane))
        .attr("r", many ? 2 : 3.5)
        .attr("fill", p => p.fired ? colour : R.css("--panel"))
        .attr("stroke", many ? "none" : colour)
        .append("title")
        .text(
            p => `step ${p.step}: membrane ${p.membrane}, threshold ${n.threshold}${
                p.fired ? ", a spike" : ""}`);
  };
  const draw = W => {
    const l = layers[state.layer], chosen = l.neurons.filter(n => state.on.has(n.i));
    const x = d3.scaleLinear([0, Math.max(1, P.timesteps - 1)], [LEFT + 14, W - RIGHT]);
    const s = Charts.svg(W, chosen.length * HIGH + 40);
    chosen.forEach((n, k) => {
      const g = s.append("g").attr("class", "trace").attr("transform", `translate(0,${k * HIGH})`);
      g.append("text").attr("class", "strong").attr("x", 0).attr("y", 30).text(`neuron ${n.place}`);
      g.append("text").attr("x", 0).attr("y", 47).text(`threshold ${R.num(n.threshold)}`);
      const core = g.append("text").attr("x", 0).attr("y", 64);
      if (n.core < 0) core.text("in no core");
      else
        core.text(`core ${n.core}, show it`)
            .attr("class", "to-core")
            .attr("tabindex", 0)
            .attr("role", "button")
            .on("click", () => toCore(n.core))
            .on("keydown", () => {
              if (d3.event.key === "Enter") toCore(n.core);
            });
      row(g, n, l.trace(n, state.image), x, D.layers[l.layer].colour);
    });
    const foot = s.append("g").attr("class", "axis").attr(
        "transform", `translate(0,${chosen.length * HIGH})`);
    foot.call(d3.axisBottom(x)
                  .ticks(Math.min(P.timesteps, Math.floor((W - LEFT) / 60)))
                  .tickFormat(t => Number.isInteger(t) && t < P.timesteps ? t : ""));
    s.append("text")
        .attr("x", (LEFT + W - RIGHT) / 2)
        .attr("y", chosen.length * HIGH + 34)
        .attr("text-anchor", "middle")
        .text(`step (frame) of image ${state.image}`);
    return s.node();
  };

  const box = el("div", {id: "traces", class: "scroll traces"}), list = el("div", {class: "picks"});
  const redraw = () => box.replaceChildren(R.responsive(draw));
  const toggle = n => {
    const b = el("button", {type: "button", "aria-pressed": String(state.on.has(n.i))}, n.place);
    b.addEventListener("click", () => {
      if (!state.on.delete(n.i)) state.on.add(n.i);
      b.setAttribute("aria-pressed", String(state.on.has(n.i)));
      redraw();
    });
    return b;
  };
  const chooseLayer = k => {
    state.layer = k;
    state.on = new Set(d3.range(Math.min(FIRST, layers[k].neurons.length)));
    list.replaceChildren(...layers[k].neurons.map(toggle));
    redraw();
  };
  const pick = (id, label, texts, change) =>
      el("label", {}, label + " ",
         el("select", {id, onchange: e => change(Number(e.target.value))},
            texts.map((t, i) => el("option", {value: i}, t))));
  const panel = () => {
    const title = "Membranes of probed neurons";
    if (!P)
      return R.panel(
          title, null,
          R.empty(
              "No probes were given. Record them and make the report again:", R.COMMANDS.probes));
    const all = d3.sum(layers, l => l.of), shown = d3.sum(layers, l => l.neurons.length);
    const level = P.level === "M" ? "read off the simulated chip" :
        P.level === "Q"           ? "computed by the integer model (level Q)" :
                                    "recorded";
    chooseLayer(0);
    R.events.on("theme.probes", redraw);
    return R.panel(
        title,
        `Membrane in the chip's integers (times v_th / threshold it is in units of the model), ${
            level}: after decay and input, before a reset, as compared with the threshold (dashed). A tick above and a filled dot are a spike. ${
            d3.format(",")(shown)} of ${d3.format(",")(all)} neurons and ${P.shown} of ${
            P.images} image${P.images === 1 ? "" : "s"} of ${P.file}.`,
        el("div", {class: "legend-row"},
           pick("probe-layer", "Layer", layers.map(l => D.layers[l.layer].name), chooseLayer),
           pick(
               "probe-image", "Image", d3.range(P.shown).map(i => `image ${i}`),
               i => {
                 state.image = i;
                 redraw();
               })),
        el("p", {class: "note"}, "Neurons by channel, row, column:"), list, box);
  };
  return {panel};
})();
