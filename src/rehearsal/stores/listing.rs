//! Listing a folder of the S3 server without walking the whole bucket.
//!
//! `s3s-fs` looks at every object of the bucket for each listing. Langfuse's worker lists one entity's folder per
//! job, so that its work would grow with the square of the events. Everything else is passed on.

use std::path::{Component, Path, PathBuf};
use std::pin::Pin;

use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CreateBucketInput, CreateBucketOutput, DeleteObjectInput,
    DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, GetBucketLocationInput,
    GetBucketLocationOutput, GetObjectInput, GetObjectOutput, HeadBucketInput, HeadBucketOutput,
    HeadObjectInput, HeadObjectOutput, ListBucketsInput, ListBucketsOutput, ListObjectsInput,
    ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, Object, PutObjectInput, PutObjectOutput,
    Timestamp,
};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;

/// The answer of one method, as the trait's macro writes it.
type Answer<'a, T> = Pin<Box<dyn Future<Output = S3Result<S3Response<T>>> + Send + 'a>>;

/// `s3s-fs` with quick listings of folders.
#[derive(Debug)]
pub(super) struct Folders {
    files: FileSystem,
    root: PathBuf,
}

impl Folders {
    pub(super) fn new(files: FileSystem, root: &Path) -> Self {
        Self { files, root: root.to_owned() }
    }
}

macro_rules! passed_on {
    ($($method:ident($input:ty) -> $output:ty;)*) => {
        $(fn $method<'a, 'b>(&'a self, request: S3Request<$input>) -> Answer<'b, $output>
        where
            'a: 'b,
            Self: 'b,
        {
            self.files.$method(request)
        })*
    };
}

impl S3 for Folders {
    passed_on! {
        create_bucket(CreateBucketInput) -> CreateBucketOutput;
        head_bucket(HeadBucketInput) -> HeadBucketOutput;
        list_buckets(ListBucketsInput) -> ListBucketsOutput;
        get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput;
        put_object(PutObjectInput) -> PutObjectOutput;
        get_object(GetObjectInput) -> GetObjectOutput;
        head_object(HeadObjectInput) -> HeadObjectOutput;
        copy_object(CopyObjectInput) -> CopyObjectOutput;
        delete_object(DeleteObjectInput) -> DeleteObjectOutput;
        delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput;
        list_objects(ListObjectsInput) -> ListObjectsOutput;
    }

    fn list_objects_v2<'a, 'b>(
        &'a self,
        request: S3Request<ListObjectsV2Input>,
    ) -> Answer<'b, ListObjectsV2Output>
    where
        'a: 'b,
        Self: 'b,
    {
        let prefix = request.input.prefix.clone().unwrap_or_default();
        let is_folder = prefix.ends_with('/') && request.input.delimiter.is_none();
        let plain = Path::new(&prefix).components().all(|part| matches!(part, Component::Normal(_)));
        if !(is_folder && plain) {
            return self.files.list_objects_v2(request);
        }
        let bucket = self.root.join(&request.input.bucket);
        Box::pin(async move {
            let walked = tokio::task::spawn_blocking(move || list(&bucket, &prefix, &request.input)).await;
            let output = walked.map_err(|why| s3_error!(InternalError, "{}", why))?;
            output.map(S3Response::new).map_err(|why| s3_error!(InternalError, "{}", why))
        })
    }
}

/// The objects below `prefix`, in order of their keys, after the continuation token.
fn list(bucket: &Path, prefix: &str, input: &ListObjectsV2Input) -> std::io::Result<ListObjectsV2Output> {
    let mut objects = Vec::new();
    walk(&bucket.join(prefix), prefix, &mut objects)?;
    objects.sort_by(|one: &Object, other| one.key.cmp(&other.key));
    let after = input.continuation_token.as_ref().or(input.start_after.as_ref());
    objects.retain(|object| object.key.as_ref() > after);
    let most = input.max_keys.and_then(|most| usize::try_from(most).ok()).unwrap_or(1000);
    let truncated = objects.len() > most;
    objects.truncate(most);
    Ok(ListObjectsV2Output {
        name: Some(input.bucket.clone()),
        prefix: input.prefix.clone(),
        encoding_type: None,
        max_keys: input.max_keys,
        key_count: i32::try_from(objects.len()).ok(),
        is_truncated: Some(truncated),
        next_continuation_token: objects.last().filter(|_| truncated).and_then(|last| last.key.clone()),
        contents: Some(objects),
        ..ListObjectsV2Output::default()
    })
}

fn walk(folder: &Path, key: &str, objects: &mut Vec<Object>) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(absent) if absent.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(why) => return Err(why),
    };
    for entry in entries {
        let entry = entry?;
        let key = format!("{key}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &format!("{key}/"), objects)?;
            continue;
        }
        let metadata = entry.metadata()?;
        objects.push(Object {
            key: Some(key),
            last_modified: Some(Timestamp::from(metadata.modified()?)),
            size: i64::try_from(metadata.len()).ok(),
            ..Object::default()
        });
    }
    Ok(())
}
