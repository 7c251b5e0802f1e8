" Vim syntax file. Language: spikec model descriptions (.spk), docs/language.md
if exists("b:current_syntax")
  finish
endif

syntax keyword spkDeclare import neuron block model
syntax keyword spkStatement let return input output weights bind as in state charge fire reset
syntax keyword spkFlow for if else
syntax keyword spkBoolean true false
syntax keyword spkOperator and or not
syntax keyword spkBuiltin conv2d linear batchnorm maxpool attention tokens mean mask offset layernorm gelu slice patches softmax_attention mse min max abs div
syntax keyword spkContext frame frames repeat steps normalise std rate
syntax match spkNumber "\<\d\+\(\.\d\+\)\?\([eE][+-]\?\d\+\)\?\>"
syntax match spkPlace "{[^{}\"]*}" contained
syntax region spkString start=+"+ end=+"+ oneline contains=spkPlace
syntax match spkComment "//.*$" contains=spkTodo,@Spell
syntax keyword spkTodo TODO FIXME contained

highlight default link spkDeclare Structure
highlight default link spkStatement Statement
highlight default link spkFlow Repeat
highlight default link spkBoolean Boolean
highlight default link spkOperator Operator
highlight default link spkBuiltin Function
highlight default link spkContext Type
highlight default link spkNumber Number
highlight default link spkPlace Special
highlight default link spkString String
highlight default link spkComment Comment
highlight default link spkTodo Todo

let b:current_syntax = "spk"
