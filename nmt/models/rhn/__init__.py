"""The recurrent highway network of Zilly et al. (2016) as a language model."""
