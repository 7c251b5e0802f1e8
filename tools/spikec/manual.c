/* Manual pages in troff (man(7)), made from the tables that --help is made from. One page for the
 * tool, spikec(1), and one for every command, spikec-COMMAND(1). */
#include <ctype.h>
#include <string.h>

#include "tools/spikec/tool.h"

/* Text of a paragraph: nothing in it is a request. Line ends become blanks. */
static void print_text(FILE *out, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '\\')
            fputs("\\e", out);
        else if (*at == '-')
            fputs("\\-", out);
        else if ((*at == '.' || *at == '\'') && at == text)
            fprintf(out, "\\&%c", *at);
        else if (*at == '\'')
            fputs("\\(aq", out);
        else if (*at == '`')
            fputs("\\(ga", out);
        else
            fputc(*at == '\n' ? ' ' : *at, out);
    }
}

static void print_paragraph(FILE *out, const char *text)
{
    print_text(out, text);
    fputc('\n', out);
}

static void print_title(FILE *out, const char *name)
{
    char upper[64];
    size_t n = 0;
    for (; name[n] != '\0' && n + 1 < sizeof upper; n++)
        upper[n] = (char)toupper((unsigned char)name[n]);
    upper[n] = '\0';
    fputs(".TH ", out);
    print_text(out, upper);
    fprintf(out, " 1 \"\" \"spikec %s\" \"spikec manual\"\n", spk_version());
}

static void print_option(FILE *out, const struct tool_option *o)
{
    fputs(".TP\n", out);
    if (tool_option_is_short(o)) {
        char text[] = {'-', (char)o->key, '\0'};
        fputs("\\fB", out);
        print_text(out, text);
        fputs("\\fR", out);
        if (o->arg != NULL) {
            fputs(" \\fI", out);
            print_text(out, o->arg);
            fputs("\\fR", out);
        }
        fputs(", ", out);
    }
    fputs("\\fB\\-\\-", out);
    print_text(out, o->name);
    fputs("\\fR", out);
    if (o->arg != NULL) {
        fputs("=\\fI", out);
        print_text(out, o->arg);
        fputs("\\fR", out);
    }
    fputc('\n', out);
    print_paragraph(out, o->doc);
}

static void print_options(FILE *out, const struct tool_command *command, bool of_every_command)
{
    const struct tool_option *o;
    bool title = false;
    for (size_t i = 0; (o = tool_option_at(command, i)) != NULL; i++) {
        if ((o->letter == '*') != of_every_command)
            continue;
        if (!title)
            fputs(of_every_command ? ".SH OPTIONS OF EVERY COMMAND\n" : ".SH OPTIONS\n", out);
        title = true;
        print_option(out, o);
    }
}

static void print_exit_status(FILE *out)
{
    fputs(".SH EXIT STATUS\n", out);
    print_paragraph(out, tool_exit_codes);
}

static void print_command(FILE *out, const struct tool_command *command)
{
    char name[64];
    snprintf(name, sizeof name, "spikec-%s", command->name);
    print_title(out, name);
    fputs(".SH NAME\n", out);
    print_text(out, name);
    fputs(" \\- ", out);
    print_paragraph(out, command->summary);
    fputs(".SH SYNOPSIS\n\\fBspikec ", out);
    print_text(out, command->name);
    fputs("\\fR [\\fIOPTION\\fR...] ", out);
    print_paragraph(out, command->usage);
    fputs(".SH DESCRIPTION\n", out);
    print_paragraph(out, command->summary);
    if (command->help != NULL) {
        fputs(".PP\n", out);
        print_paragraph(out, command->help);
    }
    print_options(out, command, false);
    print_options(out, command, true);
    print_exit_status(out);
    fputs(".SH SEE ALSO\n\\fBspikec\\fR(1)\n", out);
}

static void print_tool(FILE *out)
{
    print_title(out, "spikec");
    fputs(".SH NAME\nspikec \\- compiler and mapper for neuromorphic hardware\n"
          ".SH SYNOPSIS\n\\fBspikec\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR...] \\fIARGUMENT\\fR...\n"
          ".br\n\\fBspikec\\fR \\fB\\-\\-help\\fR | \\fB\\-\\-version\\fR\n"
          ".SH DESCRIPTION\n",
          out);
    print_paragraph(out, tool_about);
    fputs(".SH COMMANDS\n", out);
    for (const struct tool_command *c = tool_commands; c->name != NULL; c++) {
        fputs(".TP\n\\fB", out);
        print_text(out, c->name);
        fputs("\\fR ", out);
        print_paragraph(out, c->usage);
        print_text(out, c->summary);
        fputs(" See \\fBspikec\\-", out);
        print_text(out, c->name);
        fputs("\\fR(1).\n", out);
    }
    fputs(".SH OPTIONS\n.TP\n\\fB\\-\\-help\\fR\nList the commands.\n"
          ".TP\n\\fB\\-\\-version\\fR\nPrint the version and how it was built.\n",
          out);
    print_options(out, &tool_commands[0], true);
    fputs(".SH ENVIRONMENT\n.TP\n\\fBSPIKEC_MODELS\\fR\nFolders with models, separated by colons, "
          "searched before the models that spikec ships.\n"
          ".TP\n\\fBSPIKEC_TARGETS\\fR\nThe same for chip descriptions.\n"
          ".TP\n\\fBSPIKEC_LLVM\\fR\nFile name of LLVM\\(aqs library.\n",
          out);
    print_exit_status(out);
    fputs(".SH SEE ALSO\n", out);
    for (const struct tool_command *c = tool_commands; c->name != NULL; c++) {
        fputs("\\fBspikec\\-", out);
        print_text(out, c->name);
        fprintf(out, "\\fR(1)%s\n", c[1].name != NULL ? "," : "");
    }
}

void tool_manual(const struct tool_command *command, FILE *out)
{
    if (command != NULL)
        print_command(out, command);
    else
        print_tool(out);
}
