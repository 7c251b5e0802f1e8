" Model descriptions and the text form of the IR of spikec.
autocmd BufNewFile,BufRead *.spk setfiletype spk
autocmd BufNewFile,BufRead *.sir setfiletype sir
