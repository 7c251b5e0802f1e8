/* Completion scripts for bash, zsh and fish, made from the tables that --help is made from.
 *
 * What an option takes is told by the word for its argument: FILE a file, DIR a folder, T a target;
 * R|Q, and the words that a description begins with ("reference (default), packed or native"), are
 * offered as they are. Names of models and targets are asked of the tool while completing. */
#include <ctype.h>
#include <string.h>

#include "tools/spikec/tool.h"

enum { MAX_CHOICES = 16, MAX_WORD = 32 };

struct choices {
    char word[MAX_CHOICES][MAX_WORD];
    size_t n;
};

static void choice_add(struct choices *c, const char *text, size_t length)
{
    if (c->n < MAX_CHOICES && length > 0 && length < MAX_WORD) {
        memcpy(c->word[c->n], text, length);
        c->word[c->n++][length] = '\0';
    }
}

static size_t word_length(const char *text)
{
    size_t n = 0;
    while (isalnum((unsigned char)text[n]) || text[n] == '_' || text[n] == '-')
        n++;
    return n;
}

/* The words of "of pictures: bicubic (default), bilinear"; none where it goes on as a sentence. */
static void choices_of_doc(const char *doc, struct choices *out)
{
    static const char marked[] = " (default)";
    const char *colon = strstr(doc, ": ");
    for (const char *at = colon != NULL ? colon + 2 : doc; *at != '\0';) {
        size_t length = word_length(at);
        const char *behind = at + length;
        if (strncmp(behind, marked, sizeof marked - 1) == 0)
            behind += sizeof marked - 1;
        if (*behind != '\0' && *behind != ',' && strncmp(behind, " or ", 4) != 0)
            return;
        choice_add(out, at, length);
        if (*behind == '\0')
            return;
        behind += *behind == ',' ? 2 : 4;
        at = strncmp(behind, "or ", 3) == 0 ? behind + 3 : behind;
    }
}

static void choices_of(const struct tool_option *o, struct choices *out)
{
    out->n = 0;
    if (o->arg == NULL)
        return;
    if (strchr(o->arg, '|') != NULL) {
        for (const char *at = o->arg; *at != '\0'; at += *at == '|') {
            choice_add(out, at, strcspn(at, "|"));
            at += strcspn(at, "|");
        }
    } else if (strcmp(o->arg, "NAME") == 0 || strcmp(o->arg, "FORMAT") == 0) {
        choices_of_doc(o->doc, out);
    }
}

static bool takes(const struct tool_option *o, const char *arg)
{
    return o->arg != NULL && strcmp(o->arg, arg) == 0;
}

/* What stands behind a command, told by its usage. */
struct places {
    struct choices words; /* of the first argument: "list", "show" */
    bool models, targets, commands, files;
};

static void places_of(const struct tool_command *command, struct places *out)
{
    memset(out, 0, sizeof *out);
    for (const char *at = command->usage + strspn(command->usage, " |[]"); *at != '\0';) {
        size_t length = strcspn(at, " |[]");
        if (islower((unsigned char)at[0]))
            choice_add(&out->words, at, length);
        else if (length == 1 && at[0] == 'T')
            out->targets = true;
        else if (strncmp(at, "COMMAND", length) == 0)
            out->commands = true;
        else
            out->files = true;
        out->models |= length == 5 && strncmp(at, "MODEL", 5) == 0;
        at += length;
        at += strspn(at, " |[]");
    }
}

static void print_choices(FILE *out, const struct choices *c)
{
    for (size_t i = 0; i < c->n; i++)
        fprintf(out, "%s%s", i > 0 ? " " : "", c->word[i]);
}

static void print_commands(FILE *out)
{
    for (const struct tool_command *c = tool_commands; c->name != NULL; c++)
        fprintf(out, "%s ", c->name);
}

/* ---- bash ---- */

static void bash_pattern(FILE *out, const struct tool_option *o)
{
    fputs("        ", out);
    if (tool_option_is_short(o))
        fprintf(out, "-%c | ", o->key);
    fprintf(out, "--%s) ", o->name);
}

static void bash_values(FILE *out, const struct tool_command *command)
{
    const struct tool_option *o;
    struct choices c;
    fputs("        case $option in\n", out);
    for (size_t i = 0; (o = tool_option_at(command, i)) != NULL; i++) {
        if (o->arg == NULL)
            continue;
        bash_pattern(out, o);
        choices_of(o, &c);
        if (takes(o, "T"))
            fputs("_spikec_targets; ", out);
        else if (takes(o, "FILE") || takes(o, "DIR"))
            fprintf(out, "_spikec_files %s; ", takes(o, "DIR") ? "-d" : "-f");
        else if (c.n > 0) {
            fputs("_spikec_words \"", out);
            print_choices(out, &c);
            fputs("\"; ", out);
        }
        fputs("return ;;\n", out);
    }
    fputs("        esac\n", out);
}

static void bash_command(FILE *out, const struct tool_command *command)
{
    const struct tool_option *o;
    struct places p;
    places_of(command, &p);
    fprintf(out, "    %s)\n", command->name);
    bash_values(out, command);
    fputs("        if [[ $cur == -* ]]; then\n            _spikec_words \"", out);
    for (size_t i = 0; (o = tool_option_at(command, i)) != NULL; i++)
        fprintf(out, "%s--%s", i > 0 ? " " : "", o->name);
    fputs("\"\n            return\n        fi\n", out);
    if (p.words.n > 0) {
        fputs("        [[ $COMP_CWORD == 2 ]] && _spikec_words \"", out);
        print_choices(out, &p.words);
        fputs("\"\n", out);
    }
    if (p.models)
        fputs("        _spikec_words \"$(\"${COMP_WORDS[0]}\" completion models 2>/dev/null)\"\n",
              out);
    if (p.targets)
        fputs("        [[ $COMP_CWORD -gt 2 ]] && _spikec_targets\n", out);
    if (p.commands) {
        fputs("        _spikec_words \"", out);
        print_commands(out);
        fputs("\"\n", out);
    }
    if (p.files)
        fputs("        _spikec_files -f\n", out);
    fputs("        ;;\n", out);
}

static void print_bash(FILE *out)
{
    fputs("# Completion of spikec for bash, made by: spikec completion bash\n"
          "_spikec_words() {\n"
          "    COMPREPLY+=($(compgen -W \"$1\" -- \"$cur\"))\n"
          "}\n"
          "_spikec_files() {\n"
          "    local IFS=$'\\n'\n"
          "    compopt -o filenames 2>/dev/null\n"
          "    COMPREPLY+=($(compgen \"$1\" -- \"$cur\"))\n"
          "}\n"
          "_spikec_targets() {\n"
          "    _spikec_words \"$(\"${COMP_WORDS[0]}\" target list 2>/dev/null)\"\n"
          "    _spikec_files -f\n"
          "}\n"
          "_spikec() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]}\n"
          "    COMPREPLY=()\n"
          "    if [[ $cur == = ]]; then\n"
          "        cur=\n"
          "    elif [[ $option == = ]]; then\n"
          "        option=${COMP_WORDS[COMP_CWORD - 2]}\n"
          "    fi\n"
          "    if [[ $COMP_CWORD == 1 ]]; then\n"
          "        _spikec_words \"",
          out);
    print_commands(out);
    fputs("--help --version\"\n        return\n    fi\n    case ${COMP_WORDS[1]} in\n", out);
    for (const struct tool_command *c = tool_commands; c->name != NULL; c++)
        bash_command(out, c);
    fputs("    esac\n}\ncomplete -F _spikec spikec\n", out);
}

/* ---- zsh ---- */

/* Within single quotes; what _arguments reads as marks gets a backslash. */
static void zsh_text(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (strchr("[]:\\", *text) != NULL)
            fputc('\\', out);
        fputs(*text == '\'' ? "'\\'" : "", out);
        fputc(*text, out);
    }
}

static void zsh_option(FILE *out, const struct tool_option *o)
{
    struct choices c;
    choices_of(o, &c);
    for (int form = tool_option_is_short(o) ? 0 : 1; form < 2; form++) {
        if (form == 0)
            fprintf(out, "            '*-%c%s[", o->key, o->arg != NULL ? "+" : "");
        else
            fprintf(out, "            '*--%s%s[", o->name, o->arg != NULL ? "=" : "");
        zsh_text(out, o->doc);
        fputc(']', out);
        if (o->arg != NULL) {
            fputc(':', out);
            zsh_text(out, o->arg);
            fputc(':', out);
            if (takes(o, "T"))
                fputs("_spikec_targets", out);
            else if (takes(o, "FILE") || takes(o, "DIR"))
                fputs(takes(o, "DIR") ? "_files -/" : "_files", out);
            else if (c.n > 0) {
                fputc('(', out);
                print_choices(out, &c);
                fputc(')', out);
            }
        }
        fputs("' \\\n", out);
    }
}

static void zsh_command(FILE *out, const struct tool_command *command)
{
    const struct tool_option *o;
    struct places p;
    places_of(command, &p);
    fprintf(out, "    %s)\n        _arguments -s \\\n", command->name);
    for (size_t i = 0; (o = tool_option_at(command, i)) != NULL; i++)
        zsh_option(out, o);
    if (p.words.n > 0) {
        fputs("            '1: :(", out);
        print_choices(out, &p.words);
        fputs(")' \\\n", out);
    }
    fputs("            '*: :{", out);
    fputs(p.models ? "_spikec_models; " : "", out);
    fputs(p.targets ? "_spikec_targets; " : "", out);
    fputs(p.commands ? "_describe command commands; " : "", out);
    fputs(p.files ? "_files" : "true", out);
    fputs("}'\n        ;;\n", out);
}

static void print_zsh(FILE *out)
{
    fputs("#compdef spikec\n# Completion of spikec for zsh, made by: spikec completion zsh\n"
          "_spikec_models() {\n"
          "    local -a names\n"
          "    names=(${(f)\"$(spikec completion models 2>/dev/null)\"})\n"
          "    _describe model names\n"
          "}\n"
          "_spikec_targets() {\n"
          "    local -a names\n"
          "    names=(${(f)\"$(spikec target list 2>/dev/null)\"})\n"
          "    _describe target names\n"
          "    _files -g '*.yaml'\n"
          "}\n"
          "_spikec() {\n"
          "    local -a commands\n"
          "    commands=(\n",
          out);
    for (const struct tool_command *c = tool_commands; c->name != NULL; c++) {
        fprintf(out, "        '%s:", c->name);
        zsh_text(out, c->summary);
        fputs("'\n", out);
    }
    fputs("    )\n"
          "    if (( CURRENT == 2 )); then\n"
          "        _describe command commands\n"
          "        compadd -- --help --version\n"
          "        return\n"
          "    fi\n"
          "    local command=$words[2]\n"
          "    shift words\n"
          "    (( CURRENT-- ))\n"
          "    case $command in\n",
          out);
    for (const struct tool_command *c = tool_commands; c->name != NULL; c++)
        zsh_command(out, c);
    fputs("    esac\n}\n"
          "if [[ ${funcstack[1]} == _spikec ]]; then\n    _spikec \"$@\"\n"
          "else\n    compdef _spikec spikec\nfi\n",
          out);
}

/* ---- fish ---- */

static void fish_text(FILE *out, const char *text)
{
    fputc('\'', out);
    for (; *text != '\0'; text++) {
        if (*text == '\'' || *text == '\\')
            fputc('\\', out);
        fputc(*text, out);
    }
    fputc('\'', out);
}

static void fish_begin(FILE *out, const struct tool_command *command)
{
    fprintf(out, "complete -c spikec -n '__fish_seen_subcommand_from %s'", command->name);
}

static void fish_option(FILE *out, const struct tool_command *command, const struct tool_option *o)
{
    struct choices c;
    choices_of(o, &c);
    fish_begin(out, command);
    if (tool_option_is_short(o))
        fprintf(out, " -s '%c'", o->key);
    fprintf(out, " -l %s", o->name);
    if (takes(o, "FILE"))
        fputs(" -r -F", out);
    else if (takes(o, "DIR"))
        fputs(" -x -a '(__fish_complete_directories)'", out);
    else if (takes(o, "T"))
        fputs(" -r -F -a '(spikec target list 2>/dev/null)'", out);
    else if (o->arg != NULL)
        fputs(" -x", out);
    if (c.n > 0) {
        fputs(" -a '", out);
        print_choices(out, &c);
        fputc('\'', out);
    }
    fputs(" -d ", out);
    fish_text(out, o->doc);
    fputc('\n', out);
}

static void fish_command(FILE *out, const struct tool_command *command)
{
    const struct tool_option *o;
    struct places p;
    places_of(command, &p);
    fputs("complete -c spikec -n __fish_use_subcommand -a ", out);
    fish_text(out, command->name);
    fputs(" -d ", out);
    fish_text(out, command->summary);
    fputc('\n', out);
    for (size_t i = 0; (o = tool_option_at(command, i)) != NULL; i++)
        fish_option(out, command, o);
    fish_begin(out, command);
    fputs(p.files ? " -F -a '" : " -a '", out);
    print_choices(out, &p.words);
    fputs(p.models ? " (spikec completion models 2>/dev/null)" : "", out);
    fputs(p.targets ? " (spikec target list 2>/dev/null)" : "", out);
    if (p.commands) {
        fputc(' ', out);
        print_commands(out);
    }
    fputs("'\n", out);
}

static void print_fish(FILE *out)
{
    fputs("# Completion of spikec for fish, made by: spikec completion fish\n"
          "complete -c spikec -f\n"
          "complete -c spikec -n __fish_use_subcommand -l help -d 'list the commands'\n"
          "complete -c spikec -n __fish_use_subcommand -l version -d 'version and build'\n",
          out);
    for (const struct tool_command *c = tool_commands; c->name != NULL; c++)
        fish_command(out, c);
}

bool tool_completion(const char *shell, FILE *out)
{
    if (strcmp(shell, "bash") == 0)
        print_bash(out);
    else if (strcmp(shell, "zsh") == 0)
        print_zsh(out);
    else if (strcmp(shell, "fish") == 0)
        print_fish(out);
    else
        return false;
    return true;
}
