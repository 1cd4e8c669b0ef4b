//! ConfigMaps: kept as they are, if something names them.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1 as k8s;

use super::name::ObjectName;

/// A ConfigMap's data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigMap {
    /// `data`.
    pub data: BTreeMap<String, String>,
    /// `binaryData`.
    pub binary_data: BTreeMap<String, Vec<u8>>,
}

impl ConfigMap {
    /// Takes over what a ConfigMap holds.
    #[must_use]
    pub fn parse(map: &k8s::ConfigMap) -> Self {
        let binary = map.binary_data.iter().flatten();
        Self {
            data: map.data.clone().unwrap_or_default(),
            binary_data: binary
                .map(|(key, bytes)| (key.clone(), bytes.0.clone()))
                .collect(),
        }
    }
}

/// The ConfigMaps that something names. A cluster has many, and large ones: of others only the name is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedConfigMaps(BTreeSet<ObjectName>);

impl WantedConfigMaps {
    /// Whether this one is to be kept.
    #[must_use]
    pub fn contains(&self, name: &ObjectName) -> bool {
        self.0.contains(name)
    }
}

impl FromIterator<ObjectName> for WantedConfigMaps {
    fn from_iter<I: IntoIterator<Item = ObjectName>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}
