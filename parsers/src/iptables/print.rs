//! Rules back to text, as iptables-save prints them (`Display` of [`super::Rule`], [`super::Match`], [`super::Target`]).
