//! What a PDF says about itself, twice: in the Info dictionary and in XMP, which must agree.

use std::io::{self, Write};

use chrono::{DateTime, Datelike, SecondsFormat, Timelike, Utc};
use pdf_writer::types::TrappingStatus;
use pdf_writer::{Chunk, Date, Finish, Name, Ref, TextStr};

use super::file::PdfFile;

/// The name that the PDF gives as its maker.
pub(crate) const PRODUCER: &str = "Printmill";

/// What is said about a document.
pub(crate) struct About<'a> {
    pub(crate) title: &'a str,
    pub(crate) document_id: &'a str,
    pub(crate) created_at: DateTime<Utc>,
}

impl About<'_> {
    pub(crate) fn write_info<W: Write>(&self, file: &mut PdfFile<W>) -> io::Result<Ref> {
        let id = file.reserve();
        let mut chunk = Chunk::new();
        let mut info = chunk.indirect(id).start::<pdf_writer::writers::DocumentInfo<'_>>();
        info.title(TextStr(self.title))
            .creator(TextStr(PRODUCER))
            .producer(TextStr(PRODUCER))
            .creation_date(pdf_date(self.created_at))
            .modified_date(pdf_date(self.created_at))
            .trapped(TrappingStatus::NotTrapped);
        info.finish();
        file.object(id, &chunk)?;
        Ok(id)
    }

    pub(crate) fn write_xmp<W: Write>(
        &self,
        file: &mut PdfFile<W>,
        instance_id: [u8; 16],
    ) -> io::Result<Ref> {
        let id = file.reserve();
        let packet = self.xmp(instance_id);
        file.stream(id, &[packet.as_bytes()], |entries| {
            entries.pair(Name(b"Type"), Name(b"Metadata"));
            entries.pair(Name(b"Subtype"), Name(b"XML"));
        })?;
        Ok(id)
    }

    fn xmp(&self, instance_id: [u8; 16]) -> String {
        let title = escaped(self.title);
        let document_id = escaped(self.document_id);
        let instance_id = hex::encode(instance_id);
        let date = self.created_at.to_rfc3339_opts(SecondsFormat::Secs, true);
        format!(
            r#"<?xpacket begin="{bom}" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:pdf="http://ns.adobe.com/pdf/1.3/" xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/">
<dc:format>application/pdf</dc:format>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{title}</rdf:li></rdf:Alt></dc:title>
<xmp:CreatorTool>{PRODUCER}</xmp:CreatorTool>
<xmp:CreateDate>{date}</xmp:CreateDate>
<xmp:ModifyDate>{date}</xmp:ModifyDate>
<xmp:MetadataDate>{date}</xmp:MetadataDate>
<pdf:Producer>{PRODUCER}</pdf:Producer>
<pdf:Trapped>False</pdf:Trapped>
<xmpMM:DocumentID>{document_id}</xmpMM:DocumentID>
<xmpMM:InstanceID>sha256:{instance_id}</xmpMM:InstanceID>
<xmpMM:VersionID>1</xmpMM:VersionID>
<xmpMM:RenditionClass>default</xmpMM:RenditionClass>
</rdf:Description>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"#,
            bom = '\u{feff}',
        )
    }
}

fn pdf_date(time: DateTime<Utc>) -> Date {
    Date::new(u16::try_from(time.year()).unwrap_or(0))
        .month(time.month() as u8)
        .day(time.day() as u8)
        .hour(time.hour() as u8)
        .minute(time.minute() as u8)
        .second(time.second() as u8)
        .utc_offset_hour(0)
        .utc_offset_minute(0)
}

/// The text as XML content. Control characters, which XML cannot hold, are left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => {}
            _ if character.is_control() => out.push(' '),
            _ => out.push(character),
        }
    }
    out
}
