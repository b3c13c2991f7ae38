//! `windlass:host/documents`: the files that the operator named in the filter's table.
//!
//! They are in memory, as they were when the configuration was read ([`crate::wasm::documents`]).
//! Deliberately knows no path: a guest has names and bytes, and no way to the file system.

use wasmtime::Result;

use crate::wasm::bindings::documents::Host;
use crate::wasm::documents::Document;
use crate::wasm::state::{InstanceState, Phase};

impl InstanceState {
    /// The document of this name, once the filter is being configured.
    fn document(&mut self, name: &str) -> Result<Option<&Document>> {
        self.charge_call()?;
        let is_open = self.phase != Phase::Idle;
        Ok(self
            .filter_services
            .documents
            .find(name)
            .filter(|_| is_open))
    }
}

impl Host for InstanceState {
    fn names(&mut self) -> Result<Vec<String>> {
        self.charge_call()?;
        if self.phase == Phase::Idle {
            return Ok(Vec::new());
        }
        let all = self.filter_services.documents.iter();
        Ok(all.map(|(name, _)| name.to_owned()).collect())
    }

    fn size(&mut self, name: String) -> Result<Option<u64>> {
        let document = self.document(&name)?;
        Ok(document.map(|document| u64::try_from(document.bytes().len()).unwrap_or(u64::MAX)))
    }

    fn read(&mut self, name: String, offset: u64, length: u32) -> Result<Option<Vec<u8>>> {
        let document = self.document(&name)?;
        Ok(document.map(|document| document.range(offset, length).to_vec()))
    }

    fn digest(&mut self, name: String) -> Result<Option<Vec<u8>>> {
        let document = self.document(&name)?;
        Ok(document.map(|document| document.digest().to_vec()))
    }
}
