"""How each kind of model is reached: hosted, servers, llama.cpp, the host."""
