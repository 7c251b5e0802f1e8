" Vim syntax file. Language: spiking IR of spikec in text form (.sir), docs/ir.md
if exists("b:current_syntax")
  finish
endif

syntax keyword sirDeclare sir module stage timesteps target declared_rate param neuron params
syntax keyword sirStatement state charge fire reset input min max abs
syntax keyword sirStage model lowered quantised
syntax keyword sirMark name recorded
syntax keyword sirType spike count current real f32 i8 i16 i32 chw cn nc c T
syntax keyword sirBoolean true false none inf nan
syntax match sirOp "=\s*\zs\(input\|repeat\|conv2d\|linear\|batchnorm\|neuron\|add\|maxpool\|scale\|membrane\|lag\|attention\|reshape\|delay\|encode\|mean\|mask\|offset\|layernorm\|gelu\|slice\|patches\|softmax_attention\|mse\|readout\|output\)\>"
syntax match sirValue "%\d\+"
syntax match sirProgram "#\d\+"
syntax match sirParam "@[A-Za-z0-9_.]\+"
syntax match sirNumber "-\?\<\d\+\(\.\d\+\)\?\([eE][+-]\?\d\+\)\?\>"
syntax match sirAttribute "\<[a-z_]\+\ze="
syntax region sirString start=+"+ skip=+\\"+ end=+"+ oneline
syntax match sirComment "//.*$" contains=@Spell

highlight default link sirDeclare Structure
highlight default link sirStatement Statement
highlight default link sirStage Constant
highlight default link sirMark Keyword
highlight default link sirType Type
highlight default link sirBoolean Boolean
highlight default link sirOp Function
highlight default link sirValue Identifier
highlight default link sirProgram Identifier
highlight default link sirParam Identifier
highlight default link sirNumber Number
highlight default link sirAttribute PreProc
highlight default link sirString String
highlight default link sirComment Comment

let b:current_syntax = "sir"
