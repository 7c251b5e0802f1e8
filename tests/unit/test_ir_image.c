/* image.h5: round trip, same bytes, refusal of every kind of broken reference and of foreign files.
 */
#include "ir_image_sample.h"

#include "support/fault.h"
#include "support/file.h"
#include "support/h5.h"

static void same_images(const struct image *a, const struct image *b)
{
    assert_memory_equal(&a->meta, &b->meta, sizeof a->meta);
    assert_memory_equal(&a->encoder, &b->encoder, sizeof a->encoder);
    assert_memory_equal(&a->head, &b->head, sizeof a->head);
    assert_int_equal(a->n_strings, b->n_strings);
    for (uint32_t i = 0; i < a->n_strings; i++)
        assert_string_equal(a->strings[i], b->strings[i]);
#define T(type, name)                        \
    assert_true(a->n_##name == b->n_##name); \
    if (a->n_##name)                         \
        assert_memory_equal(a->name, b->name, a->n_##name * sizeof *a->name);
    IMG_TABLES(T)
#undef T
}

static void test_round_trip(void **state)
{
    (void)state;
    struct image im, back;
    struct diag_list d;
    char path[96];
    path_of(path, sizeof path, "rt");
    sample(&im);
    save(&im, path);
    diag_init(&d);
    spk_status s = image_load(path, &d, &back);
    if (s != SPK_OK)
        print_error("%s\n", d.items.data[0]->message);
    assert_int_equal(s, SPK_OK);
    same_images(&im, &back);
    /* the loaded image takes further strings */
    for (int i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", i);
        assert_int_equal(text(&back, name), 7 + i);
    }
    assert_int_equal(text(&back, "s3"), 10);
    image_fini(&back);
    image_fini(&im);
    diag_fini(&d);
    (void)unlink(path);
}

static void test_same_bytes(void **state)
{
    (void)state;
    struct image im, back;
    char path[96], *a, *b;
    size_t na, nb;
    path_of(path, sizeof path, "bytes");
    sample(&im);
    save(&im, path);
    assert_int_equal(file_read(path, 0, NULL, &a, &na), SPK_OK);
    assert_int_equal(image_load(path, NULL, &back), SPK_OK);
    save(&back, path);
    assert_int_equal(file_read(path, 0, NULL, &b, &nb), SPK_OK);
    assert_int_equal(na, nb);
    assert_memory_equal(a, b, na);
    spk_free(a);
    spk_free(b);
    image_fini(&im);
    image_fini(&back);
    (void)unlink(path);
}

/* Above 1 MiB tables are compressed; nothing changes for the reader. */
static void test_large_table(void **state)
{
    (void)state;
    struct image im, back;
    char path[96];
    struct file_map map;
    path_of(path, sizeof path, "large");
    sample(&im);
    spk_free(im.weights);
    im.n_weights = 3u << 20;
    assert_int_equal(spk_alloc_array(im.n_weights, 1, &im.weights), SPK_OK);
    for (uint64_t i = 0; i < im.n_weights; i++)
        im.weights[i] = (int8_t)(i % 7);
    save(&im, path);
    assert_int_equal(file_map_open(path, NULL, &map), SPK_OK);
    assert_true(map.size < im.n_weights / 2);
    file_map_close(&map);
    assert_int_equal(image_load(path, NULL, &back), SPK_OK);
    same_images(&im, &back);
    image_fini(&im);
    image_fini(&back);
    (void)unlink(path);
}

/* ---- broken references, one at a time ---- */

#define BREAK(name, statement)         \
    static void name(struct image *im) \
    {                                  \
        statement;                     \
    }
BREAK(meta_schema, im->meta.schema = 9)
BREAK(meta_interval, im->meta.interval = 3)
BREAK(meta_bits, im->meta.state_bits = 33)
BREAK(meta_mesh, im->meta.cores_x = 0)
BREAK(meta_name, im->meta.provenance = 99)
BREAK(core_chip, im->cores[1].chip = 1)
BREAK(core_x, im->cores[1].x = 8)
BREAK(core_place, im->cores[1].x = 3; im->cores[1].y = 1)
BREAK(core_groups, im->cores[1].n_groups = 2)
BREAK(core_configs, im->cores[1].config_first = UINT32_MAX)
BREAK(core_axons, im->cores[1].n_in_axons = UINT32_MAX)
BREAK(core_overlap, im->cores[1].group_first = 0)
BREAK(core_outs, im->cores[1].out_axon_first = 0)
BREAK(core_blocks, im->cores[1].n_blocks = 3)
BREAK(core_theft, im->cores[0].n_groups = 2; im->cores[1].n_groups = 0)
BREAK(group_core, im->groups[1].core = 2)
BREAK(group_layer, im->groups[1].layer = 3)
BREAK(group_tile, im->groups[1].nx = 5)
BREAK(group_origin, im->groups[0].y0 = UINT32_MAX)
BREAK(group_comps, im->groups[1].comp_first = 1)
BREAK(group_pitch, im->groups[0].pitch = 1)
BREAK(group_no_slice, im->groups[1].slice = 0)
BREAK(group_slice, im->groups[1].slice = 4)
BREAK(group_plane, im->groups[0].slice = 1; im->groups[0].plane = 3)
BREAK(group_plane_slice, im->groups[1].slice = 2; im->groups[1].plane = 9)
BREAK(group_extent, im->groups[0].pitch = 3)
BREAK(group_config, im->groups[1].channel_config = 3)
BREAK(group_config_value, im->channel_config[4] = 2)
BREAK(group_bias, im->groups[1].channel_bias = 2)
BREAK(group_host, im->groups[1].host_current = 1)
BREAK(config_program, im->configs[0].program = 9)
BREAK(config_keep, im->configs[0].current_keep = 5)
BREAK(config_decay, im->configs[2].decay = 4097)
BREAK(layer_name, im->layers[0].name = 50)
BREAK(layer_kind, im->layers[0].kind = 6)
BREAK(layer_size, im->layers[0].height = UINT32_MAX; im->layers[0].width = UINT32_MAX)
BREAK(layer_empty, im->layers[1].channels = 0)
BREAK(layer_layout, im->layers[1].layout = 4)
BREAK(layer_start, im->layers[1].start = UINT32_MAX)
BREAK(block_content, im->blocks[0].content = 2)
BREAK(block_kind, im->blocks[0].kind = IMG_BLOCK_CONV)
BREAK(block_shift, im->blocks[0].shift = 32)
BREAK(block_core, im->blocks[0].core = 0)
BREAK(content_kind, im->contents[0].kind = 9)
BREAK(content_rows, im->contents[0].n_rows = 3)
BREAK(content_weights, im->contents[1].weight_first = 4)
BREAK(content_huge, im->contents[1].n_rows = UINT32_MAX; im->contents[1].nc = UINT32_MAX)
BREAK(content_stride, im->contents[1].stride = 0)
BREAK(row_runs, im->rows[1].run_first = UINT64_MAX)
BREAK(run_weights, im->runs[2].weight_first = 4)
BREAK(axon_block, im->in_axons[0].block = 7)
BREAK(axon_base, im->in_axons[0].base = 2)
BREAK(axon_atoms, im->in_axons[0].atoms = 3)
BREAK(axon_row, im->in_axons[0].row = 1)
BREAK(axon_no_atoms, im->in_axons[0].atoms = 0)
BREAK(axon_kind, im->in_axons[0].kind = 3)
BREAK(axon_port, im->in_axons[0].port = 9)
BREAK(axon_learns, im->in_axons[0].port = IMG_PORT_LEARN)
BREAK(axon_teaches, im->in_axons[1].port = IMG_PORT_TEACH)
BREAK(group_teachers, im->groups[1].teach_first = 10)
BREAK(meta_ticks, im->meta.ticks = 65536)
BREAK(layer_phase, im->layers[1].phase_base = 1)
BREAK(layer_phase_position, im->layers[1].phase_position = 1u << 31)
BREAK(layer_phase_div, im->layers[1].phase_div = 0)
BREAK(axon_delay, im->in_axons[0].delay = 65536)
BREAK(axon_group_of_list, im->in_axons[0].group = 1)
BREAK(axon_group, im->in_axons[1].group = 2)
BREAK(axon_foreign_group, im->in_axons[1].group = 0)
BREAK(axon_position, im->in_axons[1].base = 4)
BREAK(axon_channels, im->contents[1].nc = 2)
BREAK(out_comp, im->out_axons[0].comp_first = 7)
BREAK(out_empty, im->out_axons[0].comp_count = 0)
BREAK(out_route, im->out_axons[0].route = 3)
BREAK(out_foreign_route, im->out_axons[0].route = 1)
BREAK(out_axon, im->out_axons[0].dest_axon = 2)
BREAK(out_atoms, im->out_axons[0].comp_count = 3)
BREAK(out_atom_first, im->out_axons[0].atom_first = 1)
BREAK(out_host_atom, im->out_axons[2].atom_first = 1)
BREAK(out_slices, im->groups[0].slice = 1; im->groups[0].plane = 4; im->out_axons[0].comp_first = 4)
BREAK(out_port, im->out_axons[1].dest_axon = 2)
BREAK(out_port_width, im->embedded_ports[0].n_channels = 2)
BREAK(out_host_port, im->out_axons[2].dest_axon = 1)
BREAK(route_core, im->routes[0].src_core = 2)
BREAK(route_dest, im->routes[0].dest = 3)
BREAK(route_place, im->routes[0].x = 6)
BREAK(route_task, im->routes[1].x = 1)
BREAK(inject_kind, im->injections[0].kind = 3)
BREAK(inject_layer, im->injections[0].layer = 3)
BREAK(inject_layer_kind, im->injections[0].layer = 1)
BREAK(inject_position, im->injections[0].position = 4)
BREAK(inject_channels, im->injections[0].channel_first = 2)
BREAK(inject_core, im->injections[0].core = 2)
BREAK(inject_axon, im->injections[1].axon = 2)
BREAK(task_layer, im->embedded[0].q_layer = 3)
BREAK(layer_order, im->layers[1].order = 2)
BREAK(order_channel, im->orders[3] = 3)
BREAK(order_twice, im->orders[3] = 0)
BREAK(task_shape, im->embedded[0].tokens = 5)
BREAK(task_layer_kind, im->embedded[0].layer = 1)
BREAK(task_heads, im->embedded[0].heads = 2)
BREAK(task_no_heads, im->embedded[0].heads = 0)
BREAK(task_part, im->embedded[0].head_first = 3)
BREAK(task_columns, im->embedded[0].columns = 2)
BREAK(task_core, im->embedded[0].core = 0)
BREAK(task_ports, im->embedded[0].n_ports = 3)
BREAK(task_bits, im->embedded[0].bits = 1)
BREAK(port_operand, im->embedded_ports[1].operand = 3)
BREAK(port_position, im->embedded_ports[1].position = 4)
BREAK(host_layer, im->host_ports[0].layer = 3)
BREAK(host_channels, im->host_ports[0].channel_first = UINT32_MAX)
BREAK(host_head, im->head.channels = 2)
BREAK(sum_terms, im->sums[0].n_terms = 3)
BREAK(sum_term, im->sum_terms[1] = 3)
BREAK(sum_shapes, im->sum_terms[1] = 0)
BREAK(encoder_layer, im->encoder.layer = 3)
BREAK(encoder_shape, im->encoder.stride_w = 1)
BREAK(encoder_weights, im->encoder.in_channels = 2)
BREAK(encoder_shift, im->encoder.out_shift = 63)
BREAK(encoder_norm, im->encoder.n_norm = 5)
BREAK(encoder_stray, im->encoder.present = 0; im->groups[0].host_current = 0)
BREAK(head_size, im->head.classes = 3)
BREAK(price_count, im->n_prices--)

static const struct {
    void (*broken)(struct image *im);
    const char *message;
} broken[] = {
    {meta_schema, "meta[0].schema: 9 is not equal to 5"},
    {meta_interval, "meta[0].interval: 3 is not at least 4"},
    {meta_bits, "meta[0].state_bits: 33"},
    {meta_mesh, "meta[0].cores_x: 0 is not at least 1"},
    {meta_name, "meta[0].provenance: 99 is not below 7"},
    {core_chip, "cores[1].chip: 1 is not below 1, the number of chips"},
    {core_x, "cores[1].x: 8 is not below 8"},
    {core_place, "cores[1].x: 3 is not free: its place belongs to core 0"},
    {core_groups, "cores[1].group_first: 3 is not at most 2, the number of groups"},
    {core_configs, "cores[1].config_first: 4294967297 is not at most 3"},
    {core_axons, "cores[1].in_axon_first: 4294967295 is not at most 2"},
    {core_overlap, "cores[1].group_first: 0 is not at least 1"},
    {core_outs, "cores[1].out_axon_first: 0 is not at least 1"},
    {core_blocks, "cores[1].block_first: 3 is not at most 2"},
    {core_theft, "groups[1].core: 1 is not below 1, the end of the groups of its core"},
    {group_core, "groups[1].core: 2 is not below 2"},
    {group_layer, "groups[1].layer: 3 is not below 3"},
    {group_tile, "groups[1].x0: 5 is not at most 4, the width of the layer"},
    {group_origin, "groups[0].y0: 4294967297 is not at most 2"},
    {group_comps, "groups[1].comp_first: 13 is not at most 12"},
    {group_pitch, "groups[0].pitch: 1 is not at least 2, the columns of the group"},
    {group_no_slice, "groups[1].slice: 0 is not at least 1"},
    {group_slice, "groups[1].slice: 4 is not at most 3, the channels of the group"},
    {group_plane, "groups[0].plane: 3 is not at least 4, the compartments of a slice"},
    {group_plane_slice, "groups[1].plane: 1 is not equal to 0, 0 modulo the slice"},
    {group_extent, "groups[0].comp_first: 10 is not at most 8, the compartments of the core"},
    {group_config, "groups[1].channel_config: 6 is not at most 5"},
    {group_config_value, "groups[1].channel_config: 2 is not below 2, the configs of the core"},
    {group_bias, "groups[1].channel_bias: 5 is not at most 4"},
    {group_host, "groups[1].layer: 1 is not equal to 0, the layer of the encoder"},
    {config_program, "configs[0].program: 9 is not at most 6"},
    {config_keep, "configs[0].current_keep: 5 is not at most 0"},
    {config_decay, "configs[2].decay: 4097 is not at most 4096"},
    {layer_name, "layers[0].name: 50 is not below 7"},
    {layer_kind, "layers[0].kind: 6 is not at most 5"},
    {layer_size, "the largest number of logical neurons"},
    {layer_empty, "layers[1].channels: 0 is not at least 1"},
    {layer_layout, "layers[1].layout: 4 is not at most 3"},
    {layer_start, "layers[1].start: 4294967295"},
    {block_content, "blocks[0].content: 2 is not below 2"},
    {block_kind, "blocks[0].kind: 1 is not equal to 0, the kind of its content"},
    {block_shift, "blocks[0].shift: 32 is not at most 24"},
    {block_core, "blocks[0].core: 0 is not below 0, the end of the blocks of its core"},
    {content_kind, "contents[0].kind: 9 is not at most 2"},
    {content_rows, "contents[0].row_first: 3 is not at most 2"},
    {content_weights, "contents[1].weight_first: 10 is not at most 9"},
    {content_huge, "contents[1].weight_first:"},
    {content_stride, "contents[1].stride: 0 is not at least 1"},
    {row_runs, "rows[1].run_first: 18446744073709551615 is not at most 3"},
    {run_weights, "runs[2].weight_first: 10 is not at most 9"},
    {axon_block, "in_axons[0].block: 7 is not below 2, the number of blocks"},
    {axon_base, "in_axons[0].base: 13 is not at most 12, the compartments of the core"},
    {axon_atoms, "in_axons[0].row: 3 is not at most 2, the rows of its content"},
    {axon_row, "in_axons[0].row: 3 is not at most 2, the rows of its content"},
    {axon_no_atoms, "in_axons[0].atoms: 0 is not at least 1"},
    {axon_kind, "in_axons[0].kind: 3 is not at most 2"},
    {axon_port, "in_axons[0].port: 9 is not at most 3"},
    {axon_learns, "in_axons[0].port: 0 is not equal to 2, the kind of a block that learns"},
    {axon_teaches, "in_axons[1].port: 1 is not equal to 0, the kind of a block that teaches"},
    {group_teachers, "groups[1].teach_first: 13 is not at most 12, the compartments of the core"},
    {meta_ticks, "meta[0].ticks: 65536 is not at most 65535"},
    {layer_phase, "layers[1].phase_base: 1 is not below 1, the ticks of a step"},
    {layer_phase_position, "layers[1].phase_base: 6442450944 is not below 1"},
    {layer_phase_div, "layers[1].phase_div: 0 is not at least 1"},
    {axon_delay, "in_axons[0].delay: 65536 is not at most 65535"},
    {axon_group_of_list, "in_axons[0].group: 1 is not equal to"},
    {axon_group, "in_axons[1].group: 2 is not below 2"},
    {axon_foreign_group, "in_axons[1].group: 0 is not equal to 1, the core of the axon"},
    {axon_position, "in_axons[1].base: 4 is not below 4, the positions of the source map"},
    {axon_channels, "in_axons[1].group: 3 is not equal to 2, the target channels"},
    {out_comp, "out_axons[0].comp_first: 9 is not at most 8"},
    {out_empty, "out_axons[0].comp_count: 0 is not at least 1"},
    {out_route, "out_axons[0].route: 3 is not below 3"},
    {out_foreign_route, "out_axons[0].route: 1 is not equal to 0, the core of the axon"},
    {out_axon, "out_axons[0].dest_axon: 2 is not below 2"},
    {out_atoms, "out_axons[0].comp_count: 3 is not at most 2, the atoms of the in-axon"},
    {out_atom_first, "out_axons[0].atom_first: 3 is not at most 2, the atoms of the in-axon"},
    {out_host_atom, "out_axons[2].atom_first: 4 is not at most 3, the channels of the port"},
    {out_slices, "out_axons[0].comp_count: 3 is not at most 2, the channels of its group"},
    {out_port, "out_axons[1].dest_axon: 2 is not below 2, the end of the ports of the task"},
    {out_port_width, "out_axons[1].comp_count: 3 is not at most 2"},
    {out_host_port, "out_axons[2].dest_axon: 1 is not below 1"},
    {route_core, "routes[0].src_core: 2 is not below 2"},
    {route_dest, "routes[0].dest: 3 is not at most 2"},
    {route_place, "no core has this place"},
    {route_task, "routes[1].x: 1 is not below 1, the number of embedded tasks"},
    {inject_kind, "injections[0].kind: 3 is not at most 2"},
    {inject_layer, "injections[0].layer: 3 is not below 3"},
    {inject_layer_kind, "injections[0].layer: 0 is not equal to 5"},
    {inject_position, "injections[0].position: 4 is not below 4"},
    {inject_channels, "injections[0].channel_first: 4 is not at most 3"},
    {inject_core, "injections[0].core: 2 is not below 2"},
    {inject_axon, "injections[1].axon: 2 is not below 2"},
    {task_layer, "embedded[0].q_layer: 3 is not below 3"},
    {layer_order, "layers[1].order: 5 is not at most 4, the number of orders"},
    {order_channel, "layers[1].order: 3 is not below 3, the channels of the layer"},
    {order_twice, "layers[1].order: 1 is not equal to 0, how often its channel was named before"},
    {task_shape, "embedded[0].tokens: 5 is not equal to 4"},
    {task_layer_kind, "embedded[0].layer: 0 is not equal to 1, whether a processor computes"},
    {task_part, "embedded[0].head_first: 6 is not at most 3, the heads"},
    {task_columns, "embedded[0].column_first: 2 is not at most 1, the channels of a head"},
    {task_core, "embedded[0].n_ports: 2 is not equal to 0, none, as it has a core"},
    {task_heads, "embedded[0].heads: 1 is not equal to 0"},
    {task_no_heads, "embedded[0].heads: 0 is not at least 1"},
    {task_ports, "embedded[0].port_first: 3 is not at most 2"},
    {task_bits, "embedded[0].bits: 1 is not at least 2"},
    {port_operand, "embedded_ports[1].operand: 3 is not at most 2"},
    {port_position, "embedded_ports[1].position: 4 is not below 4"},
    {host_layer, "host_ports[0].layer: 3 is not below 3"},
    {host_channels, "host_ports[0].channel_first: 4294967298 is not at most 3"},
    {host_head, "head[0].head_w: 6 is not equal to 4"},
    {sum_terms, "sums[0].term_first: 3 is not at most 2"},
    {sum_term, "sum_terms[1].layer: 3 is not below 3"},
    {sum_shapes, "sums[0].channels of a term: 2 is not equal to 3"},
    {encoder_layer, "encoder[0].layer: 3 is not below 3"},
    {encoder_shape, "encoder[0].in_width: 3 is not equal to 2"},
    {encoder_weights, "encoder[0].enc_w: 8 is not equal to 16"},
    {encoder_shift, "encoder[0].out_shift: 63 is not at most 62"},
    {encoder_norm, "encoder[0].n_norm: 5 is not at most 4"},
    {encoder_stray, "encoder[0].enc_w: 8 is not equal to 0"},
    {head_size, "head[0].head_w: 6 is not equal to 9"},
    {price_count, "prices[0].length: 25 is not equal to 26"},
};

static void test_broken_references(void **state)
{
    (void)state;
    char path[96];
    path_of(path, sizeof path, "broken");
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct image im, back;
        struct diag_list d;
        bool found = false;
        diag_init(&d);
        sample(&im);
        broken[i].broken(&im);
        save(&im, path);
        spk_status s = image_load(path, &d, &back);
        for (size_t j = 0; j < d.items.len; j++) {
            found |= strstr(d.items.data[j]->message, broken[i].message) != NULL;
            if (!found && j + 1 == d.items.len)
                print_error("case %zu: %s\n", i, d.items.data[j]->message);
        }
        assert_int_equal(s, SPK_ERR_INPUT);
        assert_true(found);
        assert_true(back.n_cores == 0 && back.strings == NULL);
        image_fini(&im);
        diag_fini(&d);
    }
    (void)unlink(path);
}

/* ---- files that are not ours ---- */

static void test_foreign_files(void **state)
{
    (void)state;
    struct image im;
    struct diag_list d;
    struct h5_file *f;
    char path[96];
    path_of(path, sizeof path, "foreign");
    diag_init(&d);
    (void)unlink(path);
    assert_int_equal(image_load(path, &d, &im), SPK_ERR_IO);
    assert_int_equal(file_write_all(path, "no HDF5", 7, &d), SPK_OK);
    assert_int_equal(image_load(path, &d, &im), SPK_ERR_INPUT);
    assert_int_equal(h5_create(path, &d, &f), SPK_OK);
    assert_int_equal(h5_close(f), SPK_OK);
    assert_int_equal(image_load(path, &d, &im), SPK_ERR_INPUT);
    assert_string_equal(d.items.data[d.items.len - 1]->code, "E0352");
    assert_int_equal(h5_create(path, &d, &f), SPK_OK);
    assert_int_equal(h5_write_attr_string(f, "/", "format", "spikec chip image"), SPK_OK);
    assert_int_equal(h5_write_attr_i64(f, "/", "schema", 77), SPK_OK);
    assert_int_equal(h5_close(f), SPK_OK);
    assert_int_equal(image_load(path, &d, &im), SPK_ERR_INPUT);
    assert_string_equal(d.items.data[d.items.len - 1]->code, "E0353");
    diag_fini(&d);
    (void)unlink(path);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    if (!spk_fault_available())
        skip();
    struct image im, back;
    char path[96];
    path_of(path, sizeof path, "oom");
    sample(&im);
    for (uint64_t n = 1;; n++) {
        spk_fault_arm(SPK_FAULT_ALLOC, n);
        spk_status s = image_save(&im, path, NULL);
        bool fired = spk_fault_disarm(SPK_FAULT_ALLOC);
        assert_int_equal(s, fired ? SPK_ERR_NOMEM : SPK_OK);
        assert_true(file_exists(path) == !fired);
        if (!fired)
            break;
    }
    for (uint64_t n = 1;; n++) {
        spk_fault_arm(SPK_FAULT_ALLOC, n);
        spk_status s = image_load(path, NULL, &back);
        bool fired = spk_fault_disarm(SPK_FAULT_ALLOC);
        assert_int_equal(s, fired ? SPK_ERR_NOMEM : SPK_OK);
        if (!fired)
            break;
        assert_true(back.n_strings == 0 && back.cores == NULL);
    }
    same_images(&im, &back);
    image_fini(&im);
    image_fini(&back);
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_large_table),   cmocka_unit_test(test_broken_references),
        cmocka_unit_test(test_foreign_files), cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
