/* Activity and verification: firing rates, rates of every frame, rasters; what M and Q, Q and R
 * agree in. */
const Activity = (() => {
  const {D, F, el} = R, A = D.activity;
  const rate = l => {
    const n = l.figures[F.neurons], s = l.figures[F.spikes_out];
    return n > 0 && s !== null && D.cost.timesteps > 0 ?
        s / (l.shape[0] * l.shape[1] * l.shape[2]) / D.cost.timesteps :
        null;
  };

  const rates = () => {
    const rows =
        D.layers.map((l, i) => ({l, i, assumed: l.rate, got: R.simulated ? rate(l) : null}))
            .filter(r => r.l.kind !== "input" && (r.l.figures[F.neurons] > 0 || r.got !== null));
    const draw = W => {
      const LEFT = Math.min(250, Math.floor(W * 0.4)), ROW = 19, TOP = 24,
            H = TOP + rows.length * ROW + 6,
            most = Math.max(0.01, d3.max(rows, r => Math.max(r.assumed, r.got || 0)));
      const x = d3.scaleLinear([0, most], [LEFT, W - 70]).nice(), s = Charts.svg(W, H);
      s.append("g")
          .attr("class", "axis")
          .attr("transform", `translate(0,${TOP - 4})`)
          .call(d3.axisTop(x).ticks(5))
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
                    .attr("transform", (r, i) => `translate(0,${TOP + i * ROW})`)
                    .style("cursor", "pointer")
                    .on("click", r => R.select({layer: r.i, core: -1}));
      g.append("rect").attr("width", W).attr("height", ROW).attr("fill", "transparent");
      g.append("text")
          .attr("class", "strong")
          .attr("x", LEFT - 8)
          .attr("y", 14)
          .attr("text-anchor", "end")
          .text(r => R.fit(r.l.name, LEFT - 12))
          .append("title")
          .text(r => r.l.name);
      const line = g.filter(r => r.got !== null);
      line.append("line")
          .attr("x1", r => x(r.assumed))
          .attr("x2", r => x(r.got))
          .attr("y1", 10)
          .attr("y2", 10)
          .attr("class", "grid");
      g.append("circle")
          .attr("cx", r => x(r.assumed))
          .attr("cy", 10)
          .attr("r", 4)
          .attr("fill", "none")
          .attr("stroke", r => r.l.colour)
          .attr("stroke-width", 1.6)
          .append("title")
          .text(r => `mapped with ${R.num(r.assumed)}`);
      line.append("circle")
          .attr("cx", r => x(r.got))
          .attr("cy", 10)
          .attr("r", 4)
          .attr("fill", r => r.l.colour)
          .append("title")
          .text(r => `measured ${R.num(r.got)}`);
      line.append("text")
          .attr("x", r => x(Math.max(r.got, r.assumed)) + 9)
          .attr("y", 14)
          .text(r => d3.format(".3~f")(r.got));
      return s.node();
    };
    return R.panel(
        "Firing rates by layer",
        `Spikes per neuron and frame: ○ the rate that the mapping was made with${
            R.simulated ? `, ● ${R.perImage}` :
                          ""}. Relays of counts send sums, so their rate says how often they send.`,
        el("div",
           {class: "scroll", tabindex: 0, role: "region", "aria-label": "Firing rates by layer"},
           R.responsive(draw)),
        R.simulated ? null :
                      R.empty("Measured rates come with a simulation:", R.COMMANDS.simulate));
  };

  const frames = () => {
    const most = d3.max(A.layers, l => d3.max(l.rate)) || 1;
    const draw = room => {
      const LEFT = Math.min(250, Math.floor(room * 0.4)), T = A.timesteps, ROW = 17, TOP = 24,
            cell = Math.max(18, Math.min(64, (room - LEFT - 84) / T)), W = LEFT + T * cell + 80,
            H = TOP + A.layers.length * ROW + 6;
      const s = Charts.svg(W, H);
      s.append("g")
          .selectAll("text")
          .data(d3.range(T))
          .join("text")
          .attr("x", t => LEFT + (t + 0.5) * cell)
          .attr("y", 14)
          .attr("text-anchor", "middle")
          .text(t => `frame ${t}`.slice(cell > 44 ? 0 : 6));
      const g = s.selectAll("g.row")
                    .data(A.layers)
                    .join("g")
                    .attr("transform", (l, i) => `translate(0,${TOP + i * ROW})`)
                    .style("cursor", "pointer")
                    .on("click", l => choose(l.layer));
      g.append("text")
          .attr("class", "strong")
          .attr("x", LEFT - 8)
          .attr("y", 13)
          .attr("text-anchor", "end")
          .text(l => R.fit(D.layers[l.layer].name, LEFT - 12))
          .append("title")
          .text(l => D.layers[l.layer].name);
      g.each(function(l) {
        d3.select(this)
            .selectAll("rect")
            .data(l.rate)
            .join("rect")
            .attr("x", (v, t) => LEFT + t * cell)
            .attr("width", cell - 1)
            .attr("height", ROW - 1)
            .attr("fill", v => R.scale(v / most))
            .append("title")
            .text(
                (v, t) => `${D.layers[l.layer].name}, frame ${t} (step ${
                    D.layers[l.layer].start + t}): ${R.num(v)} spikes per neuron`);
      });
      g.append("text")
          .attr("x", LEFT + T * cell + 6)
          .attr("y", 13)
          .text(l => `${d3.format(".3~f")(d3.mean(l.rate))} mean`);
      return s.node();
    };
    const bar = el("div");
    bar.style.cssText = `height:9px;width:220px;border-radius:3px;background:${
        R.scaleBar()};display:inline-block;vertical-align:0;margin:0 8px`;
    return R.panel(
        "Rates of every frame",
        `Spikes per neuron, mean over all neurons and ${A.images} image${
            A.images === 1 ? "" : "s"} of ${
            A.file}. Frame t of a layer fires t steps after the layer's first step. Click a row for its raster.`,
        el("p", {class: "note"}, "0", bar, R.num(most)),
        el("div",
           {class: "scroll", tabindex: 0, role: "region", "aria-label": "Rates of every frame"},
           R.responsive(draw)));
  };

  let box = null, pickLayer = null, drawn = 0;
  const choose = layer => {
    pickLayer.value = layer;
    raster(layer);
  };
  const raster = layer => {
    const l = A.layers.find(a => a.layer === layer), n = A.shown * A.timesteps,
          bits = Uint8Array.from(atob(l.bits), c => c.charCodeAt(0));
    const LEFT = 64, BOTTOM = 34, W = Math.max(320, Math.floor(box.clientWidth)), H = 380,
          canvas = el("canvas", {role: "img", "aria-label": `Raster of ${D.layers[layer].name}`});
    canvas.style.cssText = `width:${W}px;height:${H}px;display:block`;
    canvas.width = W * 2; /* sharp on fine screens, and when zoomed */
    canvas.height = H * 2;
    const c = canvas.getContext("2d");
    c.scale(2, 2);
    drawn = W;
    const cw = (W - LEFT - 26) / n, ch = (H - BOTTOM - 8) / l.sampled;
    c.fillStyle = R.css("--sunk");
    c.fillRect(LEFT, 8, cw * n, ch * l.sampled);
    c.fillStyle = D.layers[layer].colour;
    for (let s = 0; s < l.sampled; s++)
      for (let k = 0; k < n; k++) {
        const b = s * n + k;
        if (bits[b >> 3] >> (b & 7) & 1)
          c.fillRect(
              LEFT + k * cw, 8 + s * ch, Math.max(1, cw - (cw > 4 ? 1 : 0)),
              Math.max(1, ch - (ch > 3 ? 0.6 : 0)));
      }
    c.strokeStyle = R.css("--muted");
    c.lineWidth = 0.5;
    c.fillStyle = R.css("--muted");
    c.font = "11.5px system-ui, sans-serif";
    c.textAlign = "center";
    const every = Math.ceil(A.shown / Math.max(1, Math.floor((W - LEFT) / 64)));
    for (let i = 0; i < A.shown; i++) {
      const x = LEFT + i * A.timesteps * cw;
      if (i > 0) {
        c.beginPath();
        c.moveTo(x, 8);
        c.lineTo(x, 8 + ch * l.sampled);
        c.stroke();
      }
      if (i % every === 0) c.fillText(`image ${i}`, x + A.timesteps * cw / 2, H - 18);
    }
    c.fillText("frames of each image, in order", LEFT + (W - LEFT) / 2, H - 3);
    c.textAlign = "right";
    c.fillText("0", LEFT - 6, 18);
    c.fillText(R.short(l.neurons), LEFT - 6, H - BOTTOM);
    c.save();
    c.translate(13, H / 2);
    c.rotate(-Math.PI / 2);
    c.textAlign = "center";
    c.fillText("neuron", 0, 0);
    c.restore();
    box.replaceChildren(
        el("p", {class: "note"},
           `${l.sampled.toLocaleString("en")} of ${
               l.neurons.toLocaleString("en")} neurons, evenly spaced; ${A.shown} of ${
               A.images} image${A.images === 1 ? "" : "s"}, ${A.timesteps} frames each.`),
        canvas);
  };
  const activity = () => {
    const right = [];
    if (!A)
      right.push(R.panel(
          "Spike rasters and rates of every frame", null,
          R.empty(
              "No recorded spikes were given. Record them and make the report again:",
              R.COMMANDS.simulate + "\n" + R.COMMANDS.report)));
    else {
      box = el("div", {id: "raster"});
      pickLayer =
          el("select", {
            id: "raster-layer",
            "aria-label": "Layer",
            onchange: e => raster(Number(e.target.value))
          },
             A.layers.map(l => el("option", {value: l.layer}, D.layers[l.layer].name)));
      right.push(
          frames(),
          R.panel("Spike raster", null, el("p", {}, el("label", {}, "Layer ", pickLayer)), box));
    }
    R.put(
        "activity-body", el("div", {class: "columns"}, rates(), right[0]), ...right.slice(1),
        Probes.panel());
    if (A) {
      raster(A.layers[0].layer);
      new ResizeObserver(() => {
        if (Math.max(320, Math.floor(box.clientWidth)) !== drawn) raster(Number(pickLayer.value));
      }).observe(box);
    }
    R.events.on("theme.raster", () => {
      if (A) raster(Number(pickLayer.value));
    });
  };

  /* ---- verification ---- */
  const agreement = v => {
    const rows = v.spike_agreement.layers;
    const draw = W => {
      const LEFT = Math.min(250, Math.floor(W * 0.4)), ROW = 19, TOP = 24,
            H = TOP + rows.length * ROW + 6;
      const least = Math.min(0.99, d3.min(rows, r => Math.min(r.teacher_forced, r.free_running))),
            x = d3.scaleLinear([least, 1], [LEFT, W - 36]).nice(), s = Charts.svg(W, H);
      s.append("g")
          .attr("class", "axis")
          .attr("transform", `translate(0,${TOP - 4})`)
          .call(d3.axisTop(x).ticks(5).tickFormat(d => d3.format(".4~p")(d).replace("%", " %")))
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
      const g = s.selectAll("g.row").data(rows).join("g").attr(
          "transform", (r, i) => `translate(0,${TOP + i * ROW})`);
      g.append("text")
          .attr("class", "strong")
          .attr("x", LEFT - 8)
          .attr("y", 14)
          .attr("text-anchor", "end")
          .text(r => R.fit(r.name, LEFT - 12))
          .append("title")
          .text(r => r.name);
      g.append("circle")
          .attr("cx", r => x(r.free_running))
          .attr("cy", 10)
          .attr("r", 4)
          .attr("fill", "none")
          .attr("stroke", "#d55e00")
          .attr("stroke-width", 1.6)
          .append("title")
          .text(r => `free-running ${d3.format(".4%")(r.free_running)}`);
      g.append("circle")
          .attr("cx", r => x(r.teacher_forced))
          .attr("cy", 10)
          .attr("r", 4)
          .attr("fill", "#0072b2")
          .append("title")
          .text(r => `each layer fed R's spikes ${d3.format(".4%")(r.teacher_forced)}`);
      return s.node();
    };
    const o = v.spike_agreement.overall, p = f => d3.format(".4f")(f * 100) + " %";
    return R.panel(
        "Spikes of Q equal to R, by layer",
        `Q is the integer model, R the float one. ● every layer is fed R's spikes, its own error (overall ${
            p(o.teacher_forced)}); ○ free-running, errors add up along the network (overall ${
            p(o.free_running)}).`,
        el("div",
           {class: "scroll", tabindex: 0, role: "region", "aria-label": "Agreement by layer"},
           R.responsive(draw)));
  };
  const mismatch = first => {
    const has = first.core !== null && first.core !== undefined;
    const rows = [
      ["Image", first.image], ["Layer", first.layer],
      ["Channel, position", `${first.channel}, ${first.position}`], ["Frame", first.frame],
      ["Step", first.step], ["Chip", first.chip],
      ["Core", has ? first.core : "an embedded processor"], ["Compartment", first.compartment],
      ["Expected (Q)", first.expected], ["Got (M)", first.got]
    ];
    return R.panel(
        "First difference", null,
        el("dl", {class: "left"},
           rows.filter(r => r[1] !== undefined && r[1] !== null)
               .map(([k, v]) => [el("dt", {}, k), el("dd", {}, String(v))])),
        has ? el("p", {},
                 el("button", {
                   type: "button",
                   id: "show-difference",
                   onclick: () => {
                     R.select({core: first.core, layer: -1});
                     Plan.focusCore(first.core);
                     R.show("floorplan");
                   }
                 },
                    "Show its core on the floor plan")) :
              null);
  };
  const stat = (label, value, more, tone) =>
      el("div", {class: "stat"}, el("div", {class: "label"}, label),
         el("div", {class: "value" + (tone ? " " + tone : "")}, value),
         el("div", {class: "more"}, more || ""));
  const verification = () => {
    const v = D.verify;
    if (!v) {
      R.put(
          "verification-body",
          el("div", {class: "panel"},
             R.empty(
                 "The folder was not verified yet, so nothing is claimed here. This compares every spike of the mapped network with the integer model, and keeps the result in the folder:",
                 R.COMMANDS.verify)));
      return;
    }
    const bad = v.mismatches + v.sum_mismatches + v.logit_mismatches + v.spikes_outside_windows > 0,
          whole = d3.format(",");
    const tiles = [
      stat(
          "Mapped (M) against integer model (Q)", bad ? "differs" : "equal",
          `${whole(v.values_compared)} values of ${v.images} image${
              v.images === 1 ? "" : "s"}, back to back`,
          bad ? "bad" : "good"),
      stat(
          "Mismatches", whole(v.mismatches),
          `sums ${whole(v.sum_mismatches)}, logits ${whole(v.logit_mismatches)}`,
          v.mismatches ? "bad" : null),
      stat(
          "Spikes outside their windows", whole(v.spikes_outside_windows), "must be 0",
          v.spikes_outside_windows ? "bad" : null),
      stat("Currents that wrapped", whole(v.wraps), `at level Q ${whole(v.wraps_quantised)}`)
    ];
    const p = x => x === undefined ? "–" : d3.format(".2f")(x * 100) + " %";
    if (v.top1_quantised !== undefined)
      tiles.push(stat(
          "Top-1 of the mapped network", p(v.top1_mapped),
          `integer model ${p(v.top1_quantised)}, float model ${p(v.top1_reference)}`));
    R.put(
        "verification-body", el("div", {class: "stats"}, tiles),
        el("div", {class: "columns"}, v.first_mismatch ? mismatch(v.first_mismatch) : null,
           v.spike_agreement ? agreement(v) : null));
  };
  return {activity, verification, rate, stat};
})();
