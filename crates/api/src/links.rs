//! Signed links: addresses that let their bearer store or fetch one file for some minutes.

use crate::options::LINK_LIFE;
use crate::sign::Signer;
use http::Method;
use printmill_domain::Timestamp;
use printmill_domain::asset::BlobRef;
use printmill_domain::ids::{AssetId, MerchantId, TicketId};
use printmill_domain::problem::{Code, Problem};
use printmill_proto::v1;
use url::Url;
use url::form_urlencoded::Serializer;

/// The longest query of a link that is looked at.
const QUERY_BYTES_MAX: usize = 2_000;

/// Makes and checks links.
#[derive(Clone)]
pub(crate) struct Links {
    signer: Signer,
    base: String,
}

/// What a checked upload link allows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Upload {
    /// The bytes announced, if they were.
    pub(crate) size: Option<u64>,
}

/// What a checked download link says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Download {
    /// The file's name.
    pub(crate) name: String,
    /// Its media type.
    pub(crate) media_type: String,
}

impl Links {
    /// Links below the address by which clients reach the node.
    pub(crate) fn new(signer: Signer, public_url: &Url) -> Self {
        Self { signer, base: public_url.as_str().trim_end_matches('/').to_owned() }
    }

    /// Where to PUT an asset's bytes.
    pub(crate) fn upload(
        &self,
        merchant: MerchantId,
        asset: AssetId,
        announced: Option<&BlobRef>,
        now: Timestamp,
    ) -> v1::Link {
        let path = format!("/v1/uploads/{merchant}/{asset}");
        let size = announced.map(|blob| blob.size.to_string());
        let query: Vec<_> = size.as_deref().map(|size| ("size", size)).into_iter().collect();
        self.link(&Method::PUT, &path, &query, announced, now)
    }

    /// Where to PUT a file that work on a ticket made.
    pub(crate) fn work_upload(
        &self,
        merchant: MerchantId,
        ticket: TicketId,
        size: u64,
        now: Timestamp,
    ) -> v1::Link {
        let path = format!("/v1/workUploads/{merchant}/{ticket}");
        let mut link = self.link(&Method::PUT, &path, &[("size", &size.to_string())], None, now);
        link.size = i64::try_from(size).unwrap_or(i64::MAX);
        link
    }

    /// Where to GET a merchant's file.
    pub(crate) fn download(
        &self,
        merchant: MerchantId,
        blob: &BlobRef,
        name: &str,
        media_type: &str,
        now: Timestamp,
    ) -> v1::Link {
        let path = format!("/v1/files/{merchant}/{}", blob.sha256);
        let query = [("name", name), ("type", media_type)];
        self.link(&Method::GET, &path, &query, Some(blob), now)
    }

    fn link(
        &self,
        method: &Method,
        path: &str,
        query: &[(&str, &str)],
        blob: Option<&BlobRef>,
        now: Timestamp,
    ) -> v1::Link {
        let expires = now.timestamp() + LINK_LIFE.as_secs() as i64;
        let mut text = Serializer::new(String::new());
        text.extend_pairs(query).append_pair("expires", &expires.to_string());
        let text = text.finish();
        let signature = self.signer.sign(method.as_str(), &format!("{path}?{text}"));
        v1::Link {
            url: format!("{}{path}?{text}&signature={signature}", self.base),
            method: method.to_string(),
            expire_time: Some(pbjson_types::Timestamp { seconds: expires, nanos: 0 }),
            sha256: blob.map(|blob| blob.sha256.clone()).unwrap_or_default(),
            size: blob.map(|blob| blob.size as i64).unwrap_or_default(),
        }
    }

    /// Checks a link by which somebody wants to upload.
    pub(crate) fn check_upload(
        &self,
        path: &str,
        query: &str,
        now: Timestamp,
    ) -> Result<Upload, Problem> {
        let pairs = self.check(&Method::PUT, path, query, now)?;
        Ok(Upload { size: value(&pairs, "size").and_then(|size| size.parse().ok()) })
    }

    /// Checks a link by which somebody wants to download.
    pub(crate) fn check_download(
        &self,
        path: &str,
        query: &str,
        now: Timestamp,
    ) -> Result<Download, Problem> {
        let pairs = self.check(&Method::GET, path, query, now)?;
        let text = |name| value(&pairs, name).unwrap_or_default().to_owned();
        Ok(Download { name: text("name"), media_type: text("type") })
    }

    /// The signed part of the query, if the signature is right and the time is not over.
    fn check(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        now: Timestamp,
    ) -> Result<Vec<(String, String)>, Problem> {
        let signed = Some(query).filter(|query| query.len() <= QUERY_BYTES_MAX);
        let (signed, signature) =
            signed.and_then(|query| query.rsplit_once("&signature=")).ok_or_else(invalid)?;
        if !self.signer.verify(method.as_str(), &format!("{path}?{signed}"), signature) {
            return Err(invalid());
        }
        let pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(signed.as_bytes()).into_owned().collect();
        let expires = value(&pairs, "expires").and_then(|text| text.parse::<i64>().ok());
        if expires.is_none_or(|expires| expires < now.timestamp()) {
            return Err(Problem::new(
                Code::LinkExpired,
                "the link is past its time",
                "ask for a new link and use it within 15 minutes",
            ));
        }
        Ok(pairs)
    }
}

fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn invalid() -> Problem {
    Problem::new(
        Code::LinkInvalid,
        "the link's signature is not right",
        "use the link exactly as it was answered, with the method that it names",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use printmill_backend::fresh;

    fn parts(link: &v1::Link) -> (String, String) {
        let url = Url::parse(&link.url).unwrap();
        (url.path().to_owned(), url.query().unwrap().to_owned())
    }

    #[test]
    fn a_link_works_until_it_expires_and_not_when_anything_is_changed() {
        let base = Url::parse("http://127.0.0.1:8080/").unwrap();
        let links = Links::new(Signer::new(&[7; 32]), &base);
        let now = Timestamp::from_timestamp(1_800_000_000, 0).unwrap();
        let blob = BlobRef { sha256: "ab".repeat(32), size: 12 };
        let merchant = fresh::id(now);
        let link = links.download(merchant, &blob, "a b&c.jpg", "image/jpeg", now);
        let (path, query) = parts(&link);
        let name = Download { name: "a b&c.jpg".into(), media_type: "image/jpeg".into() };
        assert_eq!(links.check_download(&path, &query, now), Ok(name));
        let later = now + chrono::TimeDelta::minutes(16);
        let error = links.check_download(&path, &query, later).unwrap_err();
        assert_eq!(error.code, Code::LinkExpired);
        let stranger: MerchantId = fresh::id(now);
        let changed = [
            (path.replace(&merchant.to_string(), &stranger.to_string()), query.clone()),
            (path.clone(), query.replace("jpg", "png")),
            (path.clone(), query.replace("expires=1", "expires=2")),
            (path.clone(), format!("size=1&{query}")),
            (path.clone(), String::new()),
        ];
        for (path, query) in changed {
            let error = links.check_download(&path, &query, now).unwrap_err();
            assert_eq!(error.code, Code::LinkInvalid, "{path}?{query}");
        }
        assert!(links.check_upload(&path, &query, now).is_err(), "a link has one method");
    }
}
