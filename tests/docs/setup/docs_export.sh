# A small model without attention, weights for it, a compiled folder, one image.
spikec init MODEL.spk
spikec synth ./MODEL.spk --set depth=0 --rate 0.1 --limit 2 -o WEIGHTS --input-out images.safetensors
spikec compile ./MODEL.spk --set depth=0 --weights WEIGHTS --target loihi2 -o DIR
